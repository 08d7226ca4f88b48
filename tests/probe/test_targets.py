"""Words to targets, targets to endpoints."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.model.look import Endpoint
from mailseal.probe.targets import BadTarget, Resolved, Target, Unresolved, parse, resolve


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("mail.example", Target("mail.example", (109,))),
        ("mail.example:110", Target("mail.example", (110,))),
        ("pop2://mail.example", Target("mail.example", (109,))),
        ("pop2://mail.example:2109/", Target("mail.example", (2109,))),
        ("192.0.2.1", Target("192.0.2.1", (109,))),
        ("192.0.2.1:1", Target("192.0.2.1", (1,))),
        ("2001:db8::1", Target("2001:db8::1", (109,))),
        ("[2001:db8::1]:65535", Target("2001:db8::1", (65535,))),
        ("[2001:db8::1]", Target("2001:db8::1", (109,))),
        ("192.0.2.7/30", Target("192.0.2.4/30", (109,))),
        (" mail.example \n", Target("mail.example", (109,))),
    ],
)
def test_targets(text: str, target: Target):
    assert parse(text) == target


@pytest.mark.parametrize(
    "text",
    ["", ":", "a b", "mail.example:", "mail.example:0", "mail.example:65536", "mail.example:x",
     "ftp://mail.example", "[192.0.2.1]:109", "[2001:db8::1", "[2001:db8::1]109", "192.0.2",
     "192.0.2.999", "192.0.2.1/33", "-", "x" * 254, "a\x1b[2J"],
)  # fmt: skip
def test_what_is_no_target(text: str):
    with pytest.raises(BadTarget) as caught:
        parse(text)
    assert str(caught.value).isprintable()


@given(some.text(max_size=60))
def test_anything_is_a_target_or_not(text: str):
    try:
        target = parse(text)
    except BadTarget:
        return
    assert target.ports


def test_literals_need_no_resolver():
    targets = [parse("192.0.2.0/30"), parse("[2001:db8::1]:1"), parse("2001:DB8:0::2")]
    assert list(resolve(targets)) == [
        Resolved(Endpoint("192.0.2.1", 109), ""),
        Resolved(Endpoint("192.0.2.2", 109), ""),
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
