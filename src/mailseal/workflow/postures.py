"""What is known of an endpoint, as policies judge it: a Posture of a look, or of what is stored.

Strategy: both ways say of each rule whether it was looked for, as the store does when it calls a
finding fixed. Certificates are read here, because policies know no library.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal import rules
from mailseal.model.finding import Assessment, Verdict
from mailseal.model.known import KnownEndpoint
from mailseal.model.look import Observation, Reach
from mailseal.model.policy import (
    CERTIFICATE_DAYS,
    CLEARTEXT,
    LEAST_VERSION,
    Posture,
    TlsPosture,
)
from mailseal.report.result import ScanResult

ALL = (*rules.BY_ID, CERTIFICATE_DAYS, LEAST_VERSION)
"""What is kept where nothing listens any more."""
_CLEARTEXT = tuple(each for each in rules.BY_ID if each.endswith(CLEARTEXT))


def of_result(result: ScanResult) -> Posture | None:
    """Of a look that was just taken; None where no endpoint came of it."""
    if result.endpoint is None:
        return None
    looks = result.observations
    judged = result.assessment or Assessment(
        endpoint=result.endpoint,
        protocol=None,
        verdict=result.verdict,
        grade=None,
        reasons=(result.reason,),
        basis=(),
        vantages=(),
    )
    name = looks[0].name if looks else ""
    return Posture(
        endpoint=result.endpoint,
        name=name or ("" if result.asked == result.endpoint.address else result.asked),
        seen=max((look.start for look in looks), default=""),
        assessment=judged,
        findings=result.findings,
        kept=_kept(judged, looks, name),
        tls=_tls(looks),
    )


def of_known(known: KnownEndpoint) -> Posture:
    """Of what the store has."""
    judged = known.verdict.assessment if known.verdict else None
    looks = known.look.observations if known.look else ()
    gone = judged is not None and judged.verdict is Verdict.REFUSED
    return Posture(
        endpoint=known.endpoint,
        name=known.name,
        seen=known.verdict.last if known.verdict else "",
        assessment=judged,
        findings=known.findings,
        kept=(
            *known.fixed,
            *(_CLEARTEXT if gone else ()),
            *(ALL if _closed(judged, looks) else ()),
        ),
        tls=_tls(looks),
    )


def _kept(judged: Assessment, looks: Sequence[Observation], name: str) -> tuple[str, ...]:
    if _closed(judged, looks):
        return ALL
    return tuple(each for each in rules.BY_ID if rules.kept(each, judged, looks, name))


def _closed(judged: Assessment | None, looks: Sequence[Observation]) -> bool:
    """Whether something came back that says that no mail service is there."""
    return (
        judged is not None
        and judged.verdict is Verdict.ABSENT
        and bool(looks)
        and all(look.reach in (Reach.OPEN, Reach.CLOSED) for look in looks)
    )


def _tls(looks: Sequence[Observation]) -> TlsPosture | None:
    """All that the looks saw of TLS together; of several certificates the first to end."""
    seen = [look.tls for look in looks if look.tls is not None]
    if not seen:
        return None
    accepted = {version for tls in seen for version in (tls.version, *tls.accepted)}
    rejected = {version for tls in seen for version in tls.rejected}
    return TlsPosture(
        accepted=tuple(sorted(accepted)),
        rejected=tuple(sorted(rejected - accepted)),
        ends=min(_ends(tls.chain) for tls in seen),
    )


def _ends(chain: Sequence[bytes]) -> str:
    from mailseal.certs import CertificateError, describe

    try:
        return describe(chain[0]).not_after if chain else ""
    except CertificateError:
        return ""
