"""Words to targets, targets to endpoints."""

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.model.look import Endpoint
from mailseal.model.target import Target, parse
from mailseal.probe.scope import EXCLUDED, OUTSIDE, Permit, Rules
from mailseal.probe.targets import LeftOut, Resolved, Unresolved, places, resolve, spread


def test_literals_need_no_resolver():
    words = ("192.0.2.0/30", "[2001:db8::1]:1", "2001:DB8:0::2")
    assert list(resolve(parse(word, (109,)) for word in words)) == [
        Resolved(Endpoint("192.0.2.1", 109), "", True),
        Resolved(Endpoint("192.0.2.2", 109), "", True),
        Resolved(Endpoint("2001:db8::1", 1), ""),
        Resolved(Endpoint("2001:db8::2", 109), ""),
    ]


def test_every_address_of_a_name(monkeypatch: pytest.MonkeyPatch):
    book = {"mail.example": ["192.0.2.1", "2001:db8::1", "192.0.2.1"]}

    def ask(name: str, port: None, type: int) -> list[tuple[object, ...]]:
        if name not in book:
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, type, 0, "", (address, 0)) for address in book[name]]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    targets = (Target(name, (109, 110)) for name in ("mail.example", "nowhere.example"))
    assert list(resolve(targets, "dmz")) == [
        Resolved(Endpoint("192.0.2.1", 109, "dmz"), "mail.example"),
        Resolved(Endpoint("192.0.2.1", 110, "dmz"), "mail.example"),
        Resolved(Endpoint("2001:db8::1", 109, "dmz"), "mail.example"),
        Resolved(Endpoint("2001:db8::1", 110, "dmz"), "mail.example"),
        Unresolved("nowhere.example", "the name does not resolve: Name or service not known"),
    ]


def test_targets_are_taken_lazily():
    taken = []

    def endless() -> Iterator[Target]:
        while True:
            taken.append(1)
            yield Target("192.0.2.1", (109,))

    found = resolve(endless())
    next(found)
    assert len(taken) < 100
    found.close()


@given(some.integers(1, 5000))
def test_spreading_visits_each_once(count: int):
    assert sorted(spread(count)) == list(range(count))


def test_a_sweep_does_not_stay_in_one_part_of_a_network():
    first = [next_.endpoint.address for next_ in take(100, [parse("10.0.0.0/16", (109, 110))])]
    assert len({address.rsplit(".", 1)[0] for address in first}) > 80


def take(count: int, targets: list[Target]) -> list[Resolved]:
    found = (place for place in resolve(targets) if isinstance(place, Resolved))
    return [next(found) for _ in range(count)]


@pytest.mark.parametrize(
    ("word", "count"),
    [("192.0.2.0/24", 254), ("192.0.2.0/31", 2), ("192.0.2.1/32", 1), ("2001:db8::/126", 3),
     ("mail.example", 1), ("2001:db8::1", 1)],
)  # fmt: skip
def test_how_many_they_are_is_known_beforehand(word: str, count: int):
    target = parse(word, (109, 110))
    assert target.endpoints() == 2 * count
    if not target.named:
        assert len(list(resolve([target]))) == 2 * count


def test_what_is_not_permitted_is_left_out_and_said():
    permit = Permit(Rules(["192.0.2.0/28", "198.51.100.9"]), Rules(["192.0.2.1", "no.example"]))
    words = ("192.0.2.0/27", "198.51.100.8", "198.51.100.9", "192.0.2.1", "no.example")
    found = list(places((parse(word, (109,)) for word in words), permit=permit))
    assert {place.endpoint.address for place in found if isinstance(place, Resolved)} == {
        *(f"192.0.2.{number}" for number in range(2, 16)),
        "198.51.100.9",
    }
    assert [place for place in found if isinstance(place, LeftOut)] == [
        LeftOut("192.0.2.0/27", None, OUTSIDE, 15),
        LeftOut("192.0.2.0/27", None, EXCLUDED, 1),
        LeftOut("198.51.100.8", Endpoint("198.51.100.8", 109), OUTSIDE, 1),
        LeftOut("192.0.2.1", Endpoint("192.0.2.1", 109), EXCLUDED, 1),
        LeftOut("no.example", None, EXCLUDED, 1),
    ]


def test_what_a_name_leads_to_is_held_against_the_scope(monkeypatch: pytest.MonkeyPatch):
    def ask(name: str, port: None, type: int) -> list[tuple[object, ...]]:
        return [(0, type, 0, "", (address, 0)) for address in ("192.0.2.1", "198.51.100.1")]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    target = parse("mail.example:109")
    found = list(places([target], permit=Permit(Rules(["192.0.2.0/24"])), patient=True))
    assert found == [
        Resolved(Endpoint("192.0.2.1", 109), "mail.example"),
        LeftOut("mail.example", Endpoint("198.51.100.1", 109), OUTSIDE, 1),
    ]


def test_a_resolver_that_hangs_holds_nobody_else_up(monkeypatch: pytest.MonkeyPatch):
    over = threading.Event()

    def ask(name: str, port: None, type: int) -> list[tuple[object, ...]]:
        over.wait(20)
        raise OSError(0, "woken")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    monkeypatch.setattr("mailseal.probe.targets.PATIENCE", 0.2)
    found = places([parse("slow.example:1"), parse("192.0.2.1:1")])
    assert next(found) == Resolved(Endpoint("192.0.2.1", 1), "")
    assert next(found) is None
    last = list(places([parse("slow.example:1")], patient=True))
    assert last == [Unresolved("slow.example", "the resolver gave no answer in 0 s")]
    over.set()
