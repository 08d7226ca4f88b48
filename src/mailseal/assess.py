"""The one place where a verdict is made.

Strategy: what a server *did* outranks what it says, and of two answers to the same mechanism the
one that went further counts: a server may ask for the password and then refuse whoever sends it
without TLS. Across mechanisms the most telling evidence for exposure wins over any number of
refusals, because one open way in is enough. `refused` needs a service that was recognised and said
no, or that talks only inside TLS; everything that leaves a doubt is `inconclusive`, with the
reason, and never counted as clean. Contradictions are kept as conflicts.

What clients were seen to do (logins) shows what a look cannot: that a server treats others
otherwise than the prober. A login in cleartext exposes; no login of another kind makes anything
clean. Where a look and logins disagree the newer of them stands, the look only if it was made from
another host. Logins give counts alone to a verdict: names and addresses of clients stay in them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mailseal.daemons import reading, recognise
from mailseal.daemons.base import Product
from mailseal.model.codec import digest
from mailseal.model.finding import Assessment, Grade, Verdict
from mailseal.model.login import Login, LoginOutcome, Meaning
from mailseal.model.look import Attempt, Channel, Observation, Outcome, Reach, Vantage
from mailseal.model.reported import Claimed, Reported
from mailseal.protocols.recognise import LOGIN_PROTOCOLS
from mailseal.protocols.sasl import Strength, strength

_GRADES = (
    (Outcome.PROVEN, Grade.PROVEN),
    (Outcome.ACCEPTED, Grade.ACCEPTED),
    (Outcome.OFFERED, Grade.OFFERED),
)

_Opinion = tuple[Verdict, Grade | None, tuple[str, ...]]

_WEIGHT = {
    Verdict.EXPOSED: 3,
    Verdict.INCONCLUSIVE: 2,
    Verdict.REFUSED: 1,
    Verdict.ABSENT: 0,
}

_STRENGTH: dict[Grade | None, int] = {
    None: -1,
    **{grade: strength for strength, grade in enumerate(Grade)},
}


def assess(
    observations: Sequence[Observation],
    reported: Sequence[Reported] = (),
    logins: Sequence[Login] = (),
) -> Assessment:
    """The verdict on one endpoint from all looks at it, what others report of it, and the logins
    that were seen there. Raises ValueError for none at all or for different endpoints.
    """
    if reported:
        return _with_reports(observations, reported, logins)
    if logins:
        return _with_logins(observations, logins)
    if not observations or any(o.endpoint != observations[0].endpoint for o in observations[1:]):
        raise ValueError("one endpoint's looks are wanted")
    opinions = [_opinion(observation) for observation in observations]
    telling = max(range(len(opinions)), key=lambda index: _rank(opinions[index]))
    verdict, grade, reasons = opinions[telling]
    protocols = [observations[telling].protocol, *(o.protocol for o in reversed(observations))]
    return Assessment(
        endpoint=observations[0].endpoint,
        protocol=next(filter(None, protocols), None),
        verdict=verdict,
        grade=grade,
        reasons=reasons,
        basis=tuple(observation.digest for observation in observations),
        vantages=tuple(dict.fromkeys(observation.vantage for observation in observations)),
        conflicts=_conflicts(observations, opinions),
        product=next((str(each) for each in map(recognise, observations) if each), ""),
    )


def meaning(login: Login) -> Meaning:
    """What one kind of login means. A log that names no mechanism shows no safe one either. A login
    from the host itself crosses no network, but whoever makes it (a terminator, a web mailer) may
    pass on what came in whatever way.
    """
    if login.channel is Channel.TLS:
        return Meaning.SAFE
    if login.channel is Channel.UNKNOWN:
        return Meaning.UNDECIDED
    if login.outcome is LoginOutcome.REFUSED:
        return Meaning.REFUSED
    if login.mechanism and strength(login.mechanism) is not Strength.CLEARTEXT:
        weak = strength(login.mechanism) is Strength.WEAK
        return Meaning.WEAK if weak else Meaning.SAFE
    told = login.outcome is not LoginOutcome.UNKNOWN and crossed(login)
    return Meaning.CLEARTEXT if told else Meaning.UNDECIDED


def crossed(login: Login) -> bool:
    """Whether a login came from another host, as far as its client tells."""
    here = login.endpoint is not None and login.client == login.endpoint.address
    return not (here or _ITSELF.fullmatch(login.client))


# A log may have the name in place of the address.
_ITSELF = re.compile(r"(::ffff:)?127(\.\d{1,3}){3}|::1|localhost(\.localdomain)?", re.IGNORECASE)


# -- logins ----------------------------------------------------------------------------------------

_SEEN_IN = {Vantage.WIRE: "on the wire", Vantage.LOG: "in a log"}
_LOGINS = {
    Meaning.CLEARTEXT: "in cleartext",
    Meaning.UNDECIDED: "of which it cannot be told whether they were in cleartext",
    Meaning.WEAK: "without TLS, by a mechanism that hides the password badly",
    Meaning.REFUSED: "in cleartext, refused by policy",
    Meaning.SAFE: "inside TLS or without revealing the secret",
}
_INSIDE = "from the host itself, which may pass on those of others"
_NONE_SEEN = "no login in cleartext was seen, which does not say that none is taken: look there"


def _with_logins(observations: Sequence[Observation], logins: Sequence[Login]) -> Assessment:
    """Looks and logins: what is newer stands, and what disagrees is said."""
    used = _use(logins)
    if not observations:
        return used
    seen = assess(observations)
    if seen.endpoint != used.endpoint:
        raise ValueError("one endpoint's looks and logins are wanted")
    decided = _decided(seen, observations)
    by_look, by_login = seen.verdict is Verdict.EXPOSED, used.verdict is Verdict.EXPOSED
    contrary: list[Login] = []
    if by_look:
        stands = by_login and _STRENGTH[used.grade] > _STRENGTH[seen.grade]
        if not by_login:
            contrary = [login for login in logins if meaning(login) is Meaning.REFUSED]
    else:
        if by_login and decided:
            contrary = [login for login in logins if meaning(login) is Meaning.CLEARTEXT]
        stands = not decided or (by_login and not _mended(observations, contrary))
    first, second = (used, seen) if stands else (seen, used)
    both = by_look == by_login and (by_look or stands)
    conflict = (_disagree(seen, observations, contrary),) if contrary else ()
    return replace(
        seen,
        verdict=first.verdict,
        grade=first.grade,
        reasons=(*first.reasons, *second.reasons) if both else first.reasons,
        protocol=first.protocol or second.protocol,
        basis=(*seen.basis, *used.basis),
        vantages=tuple(dict.fromkeys((*seen.vantages, *used.vantages))),
        conflicts=(*seen.conflicts, *conflict),
    )


def _mended(observations: Sequence[Observation], contrary: Sequence[Login]) -> bool:
    """Whether a look after the last of these logins, from another host, finds nothing exposed: what
    a stranger can do is decided by strangers.
    """
    last = max(login.last for login in contrary)
    return any(
        look.vantage is Vantage.REMOTE and look.start > last and _decided(assess([look]), [look])
        for look in observations
    )


def _disagree(
    seen: Assessment, observations: Sequence[Observation], contrary: Sequence[Login]
) -> str:
    """Both sides with their moments and from where; the newer one last."""
    looks = ", ".join(f"{look.vantage.value} at {look.start}" for look in observations)
    sides = [
        (max(look.start for look in observations), f"{seen.verdict.value} from {looks}"),
        (max(login.last for login in contrary), "; ".join(_counted(contrary))),
    ]
    return "the look and the logins disagree: " + "; later ".join(
        words for _, words in sorted(sides)
    )


def _use(logins: Sequence[Login]) -> Assessment:
    """What logins amount to by themselves."""
    endpoint = logins[0].endpoint
    if endpoint is None or any(login.endpoint != endpoint for login in logins[1:]):
        raise ValueError("one endpoint's logins are wanted")
    telling = [login for login in logins if meaning(login) is Meaning.CLEARTEXT]
    newest = max(telling or logins, key=lambda login: login.last)
    counted = _counted(telling or logins)
    return Assessment(
        endpoint=endpoint,
        protocol=newest.protocol or None,
        verdict=Verdict.EXPOSED if telling else Verdict.INCONCLUSIVE,
        grade=Grade.OBSERVED if telling else None,
        reasons=counted if telling else (_NONE_SEEN, *counted),
        basis=(digest(counted),),
        vantages=tuple(dict.fromkeys(login.vantage for login in logins)),
    )


def _counted(logins: Iterable[Login]) -> tuple[str, ...]:
    """One line for each meaning and vantage: how often, of how many users (of names that were only
    ever rejected it is not known whether they are users), from when to when.
    """
    kinds: dict[tuple[str, str], list[Login]] = defaultdict(list)
    for login in logins:
        means = meaning(login)
        told = means is not Meaning.UNDECIDED or crossed(login)
        what = _LOGINS[means] if told else _INSIDE
        kinds[what, _SEEN_IN.get(login.vantage, login.vantage.value)].append(login)
    return tuple(
        "%s %s, of %s, seen %s, %s" % (
            _number(sum(login.count for login in those), "login"),
            what,
            _users(those),
            where,
            _span(min(login.first for login in those), max(login.last for login in those)),
        )
        for (what, where), those in kinds.items()
    )  # fmt: skip


def _users(logins: Sequence[Login]) -> str:
    names = len({login.user for login in logins})
    users = len({login.user for login in logins if login.outcome is LoginOutcome.ACCEPTED})
    if users == names:
        return _number(names, "user")
    return f"{_number(names, 'name')}, {users or 'none'} of them let in"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


# -- reports ---------------------------------------------------------------------------------------


def _with_reports(
    observations: Sequence[Observation], reported: Sequence[Reported], logins: Sequence[Login]
) -> Assessment:
    """Hearsay yields to a look that decided, and to logins; where there is none, it stands."""
    heard = _hearsay(reported)
    if not observations and not logins:
        return heard
    seen = assess(observations, (), logins)
    if seen.endpoint != heard.endpoint:
        raise ValueError("one endpoint's looks and reports are wanted")
    decided = _decided(seen, observations)
    if heard.verdict is Verdict.EXPOSED:
        stands, denied = not decided, decided and seen.verdict is not Verdict.EXPOSED
    else:
        closed = all(look.reach is Reach.CLOSED for look in observations)
        stands, denied = False, seen.verdict is Verdict.ABSENT and closed
    conflict = "the look and the report disagree: {} by the look; {}".format(
        seen.verdict.value, "; ".join(heard.reasons)
    )
    return replace(
        heard if stands else seen,
        reasons=(*heard.reasons, *seen.reasons) if stands else seen.reasons,
        protocol=heard.protocol if stands else seen.protocol or heard.protocol,
        basis=(*seen.basis, *heard.basis),
        vantages=seen.vantages,
        conflicts=(*seen.conflicts, conflict) if denied else seen.conflicts,
    )


def _hearsay(reported: Sequence[Reported]) -> Assessment:
    """What reports amount to by themselves."""
    if any(report.endpoint != reported[0].endpoint for report in reported[1:]):
        raise ValueError("one endpoint's reports are wanted")
    permitted = [report for report in reported if report.says is Claimed.PERMITTED]
    telling = permitted or reported
    return Assessment(
        endpoint=reported[0].endpoint,
        protocol=next(filter(None, (report.protocol for report in telling)), None),
        verdict=Verdict.EXPOSED if permitted else Verdict.INCONCLUSIVE,
        grade=Grade.REPORTED if permitted else None,
        reasons=tuple(dict.fromkeys(map(_told, telling))),
        basis=tuple(digest(report) for report in reported),
        vantages=(),
    )


def _told(report: Reported) -> str:
    who = f"{report.source} {report.check}".strip()
    tail = "" if report.says is Claimed.PERMITTED else ": it listens, not looked at"
    return f"{who} reports {report.title}{tail}"


# -- looks -----------------------------------------------------------------------------------------


def _decided(seen: Assessment, observations: Sequence[Observation]) -> bool:
    """Whether the looks by themselves answer the question: a filtered port does not, nor a mail
    service whose logins could not be told.
    """
    if seen.verdict is not Verdict.ABSENT:
        return seen.verdict is not Verdict.INCONCLUSIVE
    return any(
        look.reach is Reach.CLOSED
        or (look.reach is Reach.OPEN and look.protocol not in (None, *LOGIN_PROTOCOLS))
        for look in observations
    )


def _rank(opinion: _Opinion) -> tuple[int, int]:
    verdict, grade, _ = opinion
    return _WEIGHT[verdict], _STRENGTH[grade]


def _conflicts(
    observations: Sequence[Observation], opinions: Sequence[_Opinion]
) -> tuple[str, ...]:
    if len({verdict for verdict, _, _ in opinions}) == 1:
        return ()
    seen = [
        f"{verdict.value} from {observation.vantage.value} at {observation.start}"
        for observation, (verdict, _, _) in zip(observations, opinions, strict=True)
    ]
    return ("the looks disagree: " + "; ".join(seen),)


def _opinion(observation: Observation) -> _Opinion:
    """What one look amounts to."""
    if observation.reach is Reach.UNROUTABLE:
        return Verdict.INCONCLUSIVE, None, observation.gaps
    if observation.reach is not Reach.OPEN:
        return Verdict.ABSENT, None, (observation.reach.value + _because(observation.gaps),)
    protocol = observation.protocol
    if protocol is not None and protocol not in LOGIN_PROTOCOLS:
        return Verdict.ABSENT, None, ("another service answers: " + protocol,)
    product = recognise(observation)
    clear = _decisive(
        _as_meant(product, protocol, attempt)
        for attempt in observation.attempts
        if attempt.channel is Channel.CLEAR and strength(attempt.mechanism) is Strength.CLEARTEXT
    )
    for outcome, grade in _GRADES:
        telling = [attempt for attempt in clear if attempt.outcome is outcome]
        if telling:
            return Verdict.EXPOSED, grade, _reasons(telling)
    return _not_exposed(observation, clear)


def _as_meant(product: Product | None, protocol: str | None, attempt: Attempt) -> Attempt:
    """The attempt as the daemon means its answer, where its record knows more than words say."""
    meant = None if product is None else reading(product, protocol, attempt)
    if meant is None:
        return attempt
    said = f"{attempt.mechanism}: {meant.why}: {attempt.said}"
    return replace(attempt, outcome=meant.outcome, reason=said)


_TOLD = (Outcome.ACCEPTED, Outcome.PROVEN, Outcome.REFUSED)


def _decisive(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Of each mechanism the attempt that went furthest; they come in the order they were made."""
    furthest: dict[tuple[str, bool], Attempt] = {}
    for attempt in attempts:
        key = (attempt.mechanism, attempt.remote)
        last = furthest.setdefault(key, attempt)
        if last.outcome not in _TOLD or (
            attempt.outcome in _TOLD and last.outcome is not Outcome.PROVEN
        ):
            furthest[key] = attempt
    return list(furthest.values())


def _not_exposed(observation: Observation, clear: Sequence[Attempt]) -> _Opinion:
    doubtful = [attempt for attempt in clear if attempt.outcome is not Outcome.REFUSED]
    if doubtful:
        return Verdict.INCONCLUSIVE, None, _reasons(doubtful)
    unknown = [a for a in observation.attempts if a.channel is Channel.UNKNOWN]
    if unknown:
        words = "whether these logins travelled inside TLS is not known"
        return Verdict.INCONCLUSIVE, None, (words, *_reasons(unknown))
    if clear:
        return Verdict.REFUSED, None, _reasons(clear) + _vantage_caution(observation)
    if observation.tls is None:
        return _no_service(observation)
    if observation.protocol is None:
        words = "TLS from the first octet, but no mail service answered inside it"
        return Verdict.INCONCLUSIVE, None, (words, *observation.gaps)
    words = f"{observation.protocol.upper()} answers only inside {observation.tls.version}"
    return Verdict.REFUSED, None, (words, *_vantage_caution(observation))


def _no_service(observation: Observation) -> _Opinion:
    """Open, but nothing in it was understood to be about logins."""
    if observation.preauth:
        words = "the server takes every client for logged in: there is no login to look at"
        return Verdict.INCONCLUSIVE, None, (words,)
    said = f"what it says is not understood: {observation.banner}"
    if observation.protocol is not None:
        said = f"{observation.protocol.upper()} answers, and goes no further: {observation.banner}"
    return Verdict.INCONCLUSIVE, None, observation.gaps or (said,)


def _vantage_caution(observation: Observation) -> tuple[str, ...]:
    """Some servers trust their own address: a refusal seen from elsewhere is what counts."""
    product = recognise(observation)
    trap = product.daemon.traps.get(observation.vantage) if product else None
    if trap is not None:
        return (f"seen from {observation.vantage.value}: {trap}",)
    if observation.vantage is Vantage.SELF:
        return ("seen from the host itself: a stranger may be treated otherwise",)
    return ()


def _reasons(attempts: Sequence[Attempt]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(attempt.reason for attempt in attempts))


def _because(gaps: Sequence[str]) -> str:
    return ": " + "; ".join(gaps) if gaps else ""
