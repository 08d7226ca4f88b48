"""What there is to verify of a sealed service: the list of lines, each a claim, in one order.

Strategy: `lines` says which claims an endpoint gets; what is not asked, and why, is told as well,
so that nobody takes a short list for a long one. Most kinds are decided in `prove`, which the agent
has too. What needs a reader of certificates, knowledge of scanners or the facts of the host is
decided here, one file a subject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mailseal.model.host import HostFacts
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.plan import Claim, ClaimKind
from mailseal.prove import Seen
from mailseal.prove.base import Evidence
from mailseal.verify import certificate, host, scanner

SEEN: Seen = {
    ClaimKind.CERTIFICATE_CHAIN: certificate.chain,
    ClaimKind.CERTIFICATE_NAME: certificate.name,
    ClaimKind.CERTIFICATE_DATES: certificate.dates,
    ClaimKind.CERTIFICATE_KEY: certificate.key,
    ClaimKind.CERTIFICATE_PLANNED: certificate.planned,
    ClaimKind.SCANNER_CLOSES: scanner.closes,
}
"""Claims that a look decides."""

OF_HOST: Mapping[ClaimKind, Callable[[Claim, HostFacts], Evidence]] = {
    ClaimKind.ENABLED_AT_BOOT: host.enabled_at_boot,
    ClaimKind.LIMITS_FIT: host.limits_fit,
}
"""Claims that the facts of the mail host decide."""

REFUSED = (ClaimKind.TLS_ALONE, ClaimKind.CLEARTEXT_REFUSED)
INSIDE = (
    ClaimKind.TLS_VERSIONS,
    ClaimKind.TLS_CIPHERS,
    ClaimKind.CERTIFICATE_CHAIN,
    ClaimKind.CERTIFICATE_NAME,
    ClaimKind.CERTIFICATE_DATES,
    ClaimKind.CERTIFICATE_KEY,
    ClaimKind.CERTIFICATE_PLANNED,
    ClaimKind.BACKEND_ANSWERS,
    ClaimKind.LOGIN_REJECTED,
    ClaimKind.LOGIN_WORKS,
    ClaimKind.INJECTION_IGNORED,
    ClaimKind.RELAY_REFUSED,
)


@dataclass(frozen=True)
class Wanted:
    """What was asked for besides what is always looked at. `host`: the mail host can be asked."""

    account: bool = False
    intrusive: bool = False
    eavesdrop: bool = False
    reload: bool = False
    host: bool = False


def lines(
    where: Endpoint, vantage: Vantage, expected: Mapping[str, str], wanted: Wanted
) -> tuple[Claim, ...]:
    """The claims of a sealed service at one endpoint. `expected`: protocol, name, authority; where
    known `certificate`, the file of the one that is to be served.
    """
    kinds = (*REFUSED, *INSIDE, ClaimKind.SCANNER_CLOSES)
    left = {kind for kind, _, _ in left_out(expected, wanted)}
    return tuple(Claim(kind, where, vantage, expected) for kind in kinds if kind not in left)


def of_host(where: Endpoint, expected: Mapping[str, str], wanted: Wanted) -> tuple[Claim, ...]:
    """The claims that the mail host decides, once a port."""
    kinds = [*OF_HOST, *([ClaimKind.RELOAD_SURVIVED] if wanted.reload else [])]
    return tuple(Claim(kind, where, Vantage.CONFIG, expected) for kind in kinds if wanted.host)


def left_out(expected: Mapping[str, str], wanted: Wanted) -> tuple[tuple[ClaimKind, str, str], ...]:
    """What is not looked at: its kind, why, and how to have it looked at (empty: it does not
    concern this service).
    """
    smtp = expected["protocol"] == "smtp"
    rows = (
        (
            ClaimKind.CERTIFICATE_PLANNED,
            not expected.get("certificate"),
            "which certificate was planned is not known",
            "--cert FILE, or --on ssh://HOST",
        ),
        (
            ClaimKind.CERTIFICATE_CHAIN,
            expected.get("pinned") == "yes",
            "the certificate was there before: it counts that it is the same",
            "",
        ),
        (
            ClaimKind.CERTIFICATE_NAME,
            expected.get("pinned") == "yes",
            "the certificate was there before: it counts that it is the same",
            "",
        ),
        (ClaimKind.LOGIN_WORKS, not wanted.account, "it takes a real account", "--login USER"),
        (ClaimKind.INJECTION_IGNORED, not wanted.intrusive, "it is attack traffic", "--intrusive"),
        (ClaimKind.RELAY_REFUSED, not smtp, "it is no SMTP", ""),
        (ClaimKind.WIRE_UNREADABLE, not wanted.eavesdrop, "it takes root", "--eavesdrop IF"),
        (ClaimKind.ENABLED_AT_BOOT, not wanted.host, "the mail host knows", "--on ssh://HOST"),
        (ClaimKind.LIMITS_FIT, not wanted.host, "the mail host knows", "--on ssh://HOST"),
        (ClaimKind.RELOAD_SURVIVED, not wanted.reload, "it changes something", "--reload"),
    )
    return tuple((kind, why, how) for kind, left, why, how in rows if left)
