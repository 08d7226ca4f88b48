"""Words become targets, or are refused in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.model.target import DEFAULT_PORTS, BadTarget, Target, parse, port_list

MAIL = (109, 110, 143, 25, 587, 465, 993, 995, 4190)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("mail.example", Target("mail.example", MAIL)),
        ("mail.example:110", Target("mail.example", (110,), True)),
        ("pop2://mail.example", Target("mail.example", (109,), True)),
        ("pop3s://mail.example", Target("mail.example", (995,), True)),
        ("SIEVE://mail.example", Target("mail.example", (4190,), True)),
        ("pop2://mail.example:2109/", Target("mail.example", (2109,), True)),
        ("192.0.2.1", Target("192.0.2.1", MAIL)),
        ("192.0.2.1:1", Target("192.0.2.1", (1,), True)),
        ("2001:db8::1", Target("2001:db8::1", MAIL)),
        ("[2001:db8::1]:65535", Target("2001:db8::1", (65535,), True)),
        ("[2001:db8::1]", Target("2001:db8::1", MAIL)),
        ("192.0.2.7/30", Target("192.0.2.4/30", MAIL)),
        (" mail.example \n", Target("mail.example", MAIL)),
    ],
)
def test_targets(text: str, target: Target):
    assert parse(text) == target
    assert DEFAULT_PORTS == MAIL


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


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("109, 110,109", (109, 110)),
        ("pop2,POP3,imap,1100-1102", (109, 110, 143, 1100, 1101, 1102)),
        ("1 - 3,2", (1, 2, 3)),
    ],
)
def test_ports(text: str, ports: tuple[int, ...]):
    assert port_list(text) == ports


@pytest.mark.parametrize("text", ["", "0", "65536", "109,", "109;110", "-1", "3-1", "pop4", "1-x"])
def test_what_is_no_port(text: str):
    with pytest.raises(BadTarget):
        port_list(text)
