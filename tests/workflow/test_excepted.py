"""Exceptions as the operator words them: who is meant, or one clear line why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.model.excepted import Excepted, within
from mailseal.workflow import BadInput
from mailseal.workflow.excepted import excepted

NOW = 1_800_000_000.0  # 2027-01-15
WORDS = (["2027-03-31"], ["alice"], ["scanners"])


def made(*networks: str, until=("2027-03-31",), owner=("alice",), reason=("scanners",)):
    return excepted(networks, until, owner, reason, lambda: NOW)


def test_one_day_owner_and_reason_serve_all_networks():
    assert made("10.1.2.0/24", "2001:DB8::/32") == (
        Excepted("10.1.2.0/24", "2027-03-31", "alice", "scanners"),
        Excepted("2001:db8::/32", "2027-03-31", "alice", "scanners"),
    )


def test_or_each_network_has_its_own():
    first, second = made(
        "10.1.2.0/24", "192.0.2.7", until=("2027-03-31", "2027-06-30"), owner=("alice", "bob")
    )
    assert (first.until, first.owner) == ("2027-03-31", "alice")
    assert (second.network, second.until, second.owner) == ("192.0.2.7/32", "2027-06-30", "bob")


@pytest.mark.parametrize(
    ("networks", "more", "words"),
    [
        (["10.1.2.0/24"], {"until": ()}, "--except needs --until too"),
        (["10.1.2.0/24"], {"owner": (), "reason": ()}, "needs --owner, --reason too"),
        ([], {}, "--until is about an exception"),
        (["10.1.2.0/24"], {"until": ("2027-01-14",)}, "that day is over"),
        (["10.1.2.0/24"], {"until": ("31.3.2027",)}, "not a day like"),
        (["10.1.2.0/24"], {"until": ("2047-01-01",)}, "more than 10 years"),
        (["10.1.2.0/24"], {"until": ("2027-03-31",) * 2}, "once for each --except (1), not 2"),
        (["0.0.0.0/0"], {}, "too wide"),
        (["::/0"], {}, "too wide"),
        (["0.0.0.0/1", "128.0.0.0/1"], {}, "too wide"),
        (["2000::/3"], {}, "too wide"),
        (["::ffff:0:0/96"], {}, "write IPv4 networks"),
        (["10.1.2.3/24"], {}, "is inside 10.1.2.0/24; write that, or 10.1.2.3"),
        (["everybody"], {}, "not a network"),
        (["10.1.2.0/24/"], {}, "not a network"),
        (["10.1.0.0/16", "10.1.2.0/24"], {}, "overlap"),
        (["10.1.2.0/24"] * 2, {}, "overlap"),
        (["10.1.2.0/24"], {"owner": (" ",)}, "--owner or --reason"),
        (["10.1.2.0/24"], {"reason": ("x\nALL: ALL",)}, "--owner or --reason"),
        (["10.1.2.0/24"], {"reason": ("x\\",)}, "backslash"),
        (["10.1.2.0/24"], {"reason": ("x" * 201,)}, "up to 200"),
        ([f"192.0.2.{n}" for n in range(51)], {}, "50 at most"),
    ],
)
def test_what_is_refused_is_said_in_one_line(networks, more, words):
    with pytest.raises(BadInput) as refused:
        made(*networks, **more)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@given(some.text(max_size=20), some.text(max_size=12), some.text(max_size=12))
def test_whatever_is_typed_is_an_exception_or_refused(network, until, owner):
    try:
        (one,) = excepted([network], [until], [owner], ["r"], lambda: NOW)
    except BadInput:
        return
    assert "\n" not in str(one)


def test_an_address_is_inside_or_not():
    networks = ["10.1.2.0/24", "2001:db8::/32"]
    assert within("10.1.2.9", networks)
    assert within("::ffff:10.1.2.9", networks)
    assert within("2001:db8::1%eth0", networks)
    assert not within("10.1.3.9", networks)
    assert not within("2001:db9::1", networks)
    assert not within("", networks)
    assert not within("client-1", networks)
