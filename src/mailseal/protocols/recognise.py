"""Which protocol speaks here? Told from what is said, never from the port.

A table of patterns over the first line, first match wins. The order matters where one greeting is
a prefix of another (`+OK` before `+ `). Services that are not mail are named too: "absent: SSH
answers on 109" closes a finding that "not POP2" would leave open.
"""

from __future__ import annotations

import re
from typing import Mapping, Optional, Tuple

from mailseal.protocols.base import Side

_TABLE: Tuple[Tuple[str, "re.Pattern[bytes]"], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("ssh", rb"SSH-\d"),
        ("http", rb"(HTTP/\d|<!doctype html|<html)"),
        # RFC 937: the greeting begins with "+"; POP3 (RFC 1939) says "+OK". UW notes clients that
        # get upset at anything between "+" and "POP2".
        ("pop3", rb"(\+OK|-ERR)\b"),
        ("pop2", rb"[+-].{0,80}\bPOP ?2\b"),
        ("pop2", rb"\+ "),
        ("imap", rb"\* (OK|PREAUTH|BYE)\b"),
        # A host may be called ftp and serve mail.
        ("smtp", rb"220[ -].*\bE?SMTP\b"),
        ("ftp", rb"220[ -].*(FTP|FileZilla)"),
        ("nntp", rb"20[01] .*\b(NNTP|InterNetNews|news|posting)"),
        ("smtp", rb"(220|421|554)[ -]"),
        ("managesieve", rb'"(IMPLEMENTATION|SIEVE|SASL|VERSION)"|BYE( \(| "|\Z)'),
        ("vnc", rb"RFB \d"),
        ("rsync", rb"@RSYNCD:"),
        # The protocol's number, 10, is a line end to us: it may have been cut off.
        ("mysql", rb"[^\x00][\x00-\x03]\x00\x00(\x0a|\Z)"),
        ("telnet", rb"\xff[\xfb-\xfe]"),
    )
)

LOGIN_PROTOCOLS = ("pop2", "pop3", "imap", "smtp", "managesieve")
"""The services whose login this package is about."""

PORTS: Mapping[int, str] = {
    109: "pop2",
    110: "pop3",
    995: "pop3",
    143: "imap",
    993: "imap",
    25: "smtp",
    465: "smtp",
    587: "smtp",
    4190: "managesieve",
}
"""Ports of mail services, and what speaks there as a rule."""


def recognise(first: bytes) -> Optional[str]:
    """The protocol's name in lower case, None where the line fits no pattern."""
    for name, pattern in _TABLE:
        if pattern.match(first):
            return name
    return None


_OVERHEARD: Tuple[Tuple[str, Side, "re.Pattern[bytes]"], ...] = tuple(
    (name, side, re.compile(pattern, re.IGNORECASE))
    for name, side, pattern in (
        ("pop3", Side.SERVER, rb"(\+OK|-ERR)( |\Z)"),
        ("imap", Side.SERVER, rb"\* (OK|NO|BAD|BYE|PREAUTH|CAPABILITY|LIST|FLAGS|\d+ )"),
        ("smtp", Side.SERVER, rb"(220|250|235|334|354|421|5\d\d)[ -]"),
        ("pop3", Side.CLIENT, rb"(USER|PASS|APOP|STLS|CAPA|UIDL|RETR|DELE|STAT)( |\Z)"),
        ("smtp", Side.CLIENT, rb"((EHLO|LHLO|MAIL FROM:|RCPT TO:)|(STARTTLS|DATA)\Z)"),
        ("pop2", Side.CLIENT, rb"(FOLD|READ|ACKD|ACKS|NACK)( |\Z)"),
        (
            "imap",
            Side.CLIENT,
            rb"[A-Za-z0-9.]{1,16} (LOGIN|AUTHENTICATE|CAPABILITY|STARTTLS|SELECT|ID|NOOP|UID)\b",
        ),
        ("managesieve", Side.CLIENT, rb"(PUTSCRIPT|LISTSCRIPTS|GETSCRIPT|SETACTIVE)( |\Z)"),
    )
)


def overheard(line: bytes) -> Optional[Tuple[str, Side]]:
    """Of a line in the middle of a session: the protocol, and which side says such a thing. None
    where it shows neither.
    """
    for name, side, pattern in _OVERHEARD:
        if pattern.match(line):
            return name, side
    return None


def is_tls(data: bytes) -> bool:
    """True where the bytes begin with a TLS record (RFC 8446 5.1): alert or handshake, version
    3.x. A cleartext service never begins so.
    """
    return len(data) >= 3 and data[0] in (0x15, 0x16) and data[1] == 3 and data[2] <= 4
