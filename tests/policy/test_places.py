"""Places of policies: what scan takes for a target, networks as they are, and names below one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.model.target import BadTarget, parse
from mailseal.policy.places import Place, place


@pytest.mark.parametrize(
    ("word", "network", "name", "port"),
    [
        ("imap://mail.example", None, "mail.example", 143),
        ("imap://mail.example:1143/", None, "mail.example", 1143),
        ("POP3S://[2001:db8::7]", "2001:db8::7/128", "", 995),
        ("sieve://*.Example.ORG.", None, "*.example.org", 4190),
        ("pop2://192.0.2.0/24", "192.0.2.0/24", "", 109),
        ("2001:db8::/64", "2001:db8::/64", "", 0),
        ("mail.example", None, "mail.example", 0),
    ],
)
def test_a_place(word: str, network: str | None, name: str, port: int) -> None:
    at = None if network is None else ipaddress.ip_network(network)
    assert place(word) == Place(at, name, port)


@pytest.mark.parametrize(
    "word",
    [
        *("ftp://mail.example", "imap://", "*.", "*.192.0.2.0/24", "*.2001:db8::7", "*.*.example"),
        *("fe80::1%eth0", "0.0.0.0/0", "imap://::/0", "192.0.2.7/24", "mail.*.example", "*://a"),
    ],
)
def test_what_is_no_place(word: str) -> None:
    with pytest.raises(ValueError, match="'"):
        place(word)


@given(some.text("*.:/[]%ab0129-", max_size=20) | some.text(max_size=20))
def test_a_place_is_a_target_too_but_for_the_names_below_one(word: str) -> None:
    try:
        found = place(word)
    except ValueError:
        return
    if not found.name.startswith("*"):
        assert (found.port or 25) in parse(word, (25,)).ports
    else:
        with pytest.raises(BadTarget):
            parse(word)
