"""Whether the check of a scanner that reported the service will be quiet now, and what to tell its
keeper where it will not.

Strategy: a finding is closed in other people's systems by the scanner's own check alone, so what
that looks at is what counts here, and not what is true. The check for POP2 (Nessus 15854, which
OpenVAS took over) reads the first line of a cleartext connection and looks for the letters POP;
that for SMTP (OpenVAS 108530) reads the list of mechanisms before TLS. For POP3 and IMAP the same
is supposed: their source was not seen.
"""

from __future__ import annotations

from mailseal.imports.checks import CHECKS
from mailseal.model.look import Channel, Observation, Reach
from mailseal.model.plan import Claim, Result
from mailseal.protocols import sasl
from mailseal.prove.base import Evidence, Read


def closes(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """`expected`: protocol. A fail has the words for the ticket in its evidence."""
    protocol = claim.expected["protocol"]
    check = _check(protocol)
    if seen.reach in (Reach.CLOSED, Reach.FILTERED):
        return Evidence(Result.PASS, ("%s finds no open port" % check,))
    if seen.reach is not Reach.OPEN:
        return Evidence(Result.UNKNOWN, seen.gaps)
    if seen.tls is not None and seen.starttls is None:
        return Evidence(Result.PASS, ("%s passes over a port that speaks TLS alone" % check,))
    if not seen.protocol:
        return Evidence(Result.UNKNOWN, seen.gaps or ("the service said nothing known",))
    if protocol == "pop2":
        return _banner(check, seen)
    return _listed(check, seen)


def _check(protocol: str) -> str:
    notes = sorted(each for each, of in CHECKS.items() if of == protocol and each.isdigit())
    if protocol not in _READ:
        notes.append("supposed: its source was not seen")
    return "the scanner's check" + (" (%s)" % ", ".join(notes) if notes else "")


_READ = ("pop2", "smtp")
"""What the check of is known from its source."""


def _banner(check: str, seen: Observation) -> Evidence:
    if "POP" not in seen.banner:
        return Evidence(
            Result.PASS, ("%s looks for POP in the greeting: %s" % (check, seen.banner),)
        )
    return Evidence(
        Result.FAIL,
        (
            "%s looks for POP in the greeting, and finds it: %s" % (check, seen.banner),
            _TICKET % "it matches the greeting alone, and does not ask whether a login is taken",
        ),
    )


def _listed(check: str, seen: Observation) -> Evidence:
    listed = [
        each.mechanism
        for each in seen.attempts
        if each.channel is Channel.CLEAR
        and each.offered
        and sasl.strength(each.mechanism) is sasl.Strength.CLEARTEXT
    ]
    if not listed:
        return Evidence(Result.PASS, ("%s finds no cleartext login listed before TLS" % check,))
    words = "%s finds %s listed before TLS" % (check, ", ".join(dict.fromkeys(listed)))
    return Evidence(
        Result.FAIL, (words, _TICKET % "it goes by what is listed, not by what is taken")
    )


_TICKET = (
    "for the ticket: %s; where the line cleartext-refused passes, attach this report as evidence "
    "of a false positive, or have the port closed"
)
