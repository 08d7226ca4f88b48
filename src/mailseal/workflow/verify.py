"""What `mailseal verify` does: the proof, from here or from another host.

Strategy: an endpoint, or a plan, becomes claims (`mailseal.verify`); looks decide most of them, the
facts of the mail host some, and what takes the whole run is judged at its end. Secrets go into the
questions alone, never into a claim: claims are printed.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from mailseal import __version__, verify
from mailseal.capture.live import CannotListen
from mailseal.capture.marker import Eavesdropper
from mailseal.model.host import HostFacts
from mailseal.model.look import Endpoint, Observation, Reach, Vantage
from mailseal.model.moment import rfc3339
from mailseal.model.plan import Claim, ClaimKind, Proof, Result
from mailseal.model.verification import NotAsked, Verification
from mailseal.probe import blocking
from mailseal.probe.asked import blind
from mailseal.probe.canary import own as is_own
from mailseal.probe.look import Observe, Question, throwaway
from mailseal.protocols.base import Credentials
from mailseal.prove import prover
from mailseal.prove.base import Evidence, question
from mailseal.system.live import LiveSystem
from mailseal.verify import Wanted
from mailseal.workflow import BadInput, hosts
from mailseal.workflow.hosts import HostUnreachable, Tell, Verifiable
from mailseal.workflow.verifying import (
    SEALED,
    Place,
    Request,
    complete,
    places_of,
    served_file,
)

PLAIN = (ClaimKind.CLOSED, ClaimKind.CLEARTEXT_SERVED)
"""Claims whose look needs nothing but the connection."""
_AT_ONCE = 4
"""Looks at a time from another host: its sshd lets no more than ten connections log in at once."""
_DAY = 86400.0


def verified(request: Request, tell: Tell, now: Callable[[], float] = time.time) -> Verification:
    """Verifies. Raises BadTarget, BadInput, HostUnreachable, Refused."""
    with contextlib.ExitStack() as stack:
        look = _looker(request, tell, stack)
        places, lost = places_of(request)
        host = _mail_host(request, [each.endpoint for each in places], tell, stack)
        run = _Run(request, host, look, now)
        proofs = run.proofs(complete(places, run.facts(places)), stack) if places else ()
    asked = {proof.claim.kind for proof in proofs}
    left = {
        kind: NotAsked(kind, why, how)
        for place in places
        if place.sealed
        for kind, why, how in verify.left_out(place.expected, run.wanted)
        if how and kind not in asked
    }
    unseen = [NotAsked(ClaimKind.ALL_ADDRESSES, why, "a name that resolves") for why in lost]
    return Verification(
        __version__,
        request.target,
        request.source,
        rfc3339(now()),
        proofs,
        (*unseen, *left.values()),
    )


def exit_code(proofs: Sequence[Proof]) -> int:
    """1 where a claim fails, 3 where one could not be told (or there is none), else 0."""
    results = {proof.result for proof in proofs}
    if Result.FAIL in results:
        return 1
    return 3 if Result.UNKNOWN in results or not results else 0


# -- who looks -------------------------------------------------------------------------------------


def _looker(request: Request, tell: Tell, stack: contextlib.ExitStack) -> Observe:
    """Looks from here, or from another host; from the mail host itself they would prove nothing."""
    if not request.source:
        return from_afar
    other = stack.enter_context(hosts.host(request.source, tell))
    places = threading.Semaphore(_AT_ONCE)

    def observe(asked: Question) -> Observation:
        with places:
            try:
                return other.look(asked)
            except HostUnreachable as error:
                return blind(asked, str(error))

    return observe


def from_afar(asked: Question) -> Observation:
    """A look that is worth something only from another host."""
    if is_own(asked.endpoint.address):
        return blind(asked, "this is the host itself: run `mailseal verify` on another")
    return blocking.observe(asked)


def _mail_host(
    request: Request, endpoints: Sequence[Endpoint], tell: Tell, stack: contextlib.ExitStack
) -> Verifiable | None:
    """The host that is verified, where it can be asked: named, or this one, as root."""
    if request.on:
        return stack.enter_context(hosts.host(request.on, tell))
    here = bool(endpoints) and all(is_own(each.address) for each in endpoints)
    if here and not request.source and LiveSystem().uid() == 0:
        return stack.enter_context(hosts.host(None, tell))
    if request.reload:
        raise BadInput("--reload is done on the mail host: name it with --on ssh://HOST")
    return None


# -- one run ---------------------------------------------------------------------------------------


class _Run:
    """What a run knows: the request, the mail host where it can be asked, and who looks."""

    def __init__(
        self, request: Request, host: Verifiable | None, look: Observe, now: Callable[[], float]
    ) -> None:
        self._request = request
        self._host = host
        self._look = look
        self._now = now
        self._dummy = throwaway()
        self._facts: dict[int, HostFacts] = {}
        self._files: dict[str, bytes] = {}
        self._missed: dict[Endpoint, str] = {}
        self.wanted = Wanted(
            account=request.account is not None,
            intrusive=request.intrusive,
            eavesdrop=bool(request.eavesdrop),
            reload=request.reload,
            host=host is not None,
        )

    def facts(self, places: Sequence[Place]) -> dict[int, HostFacts]:
        """What the mail host says of each port; empty where it cannot be asked."""
        if self._host is not None:
            for port in dict.fromkeys(each.endpoint.port for each in places):
                self._facts[port] = self._host.facts((port,))
        return self._facts

    def proofs(self, places: Sequence[Place], stack: contextlib.ExitStack) -> tuple[Proof, ...]:
        """All lines, those of the run as a whole first, then by endpoint, then the host's."""
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="mailseal-"))
        places = [self._known(each, scratch) for each in places]
        reloaded = self._reload() if self._request.reload else {}
        claims = [claim for place in places for claim in self._claims(place)]
        claims += self._closed(places)
        prove = prover(
            {
                Vantage.REMOTE: self._noting(self._look),
                Vantage.SELF: self._noting(blocking.observe),
            },
            self._read,
            None,
            self._now,
            self._ask,
            verify.SEEN,
            {} if self._request.source else {Vantage.REMOTE: blocking.source},
        )
        with self._listening() as ear:
            seen = prove(claims)
        made = [self._addresses(places), *seen]
        if ear is not None:
            made.append(self._wire(ear, places, seen))
        by_port = {each.endpoint.port: each for each in reversed(places) if each.sealed}
        for port, place in by_port.items() if self._facts else ():
            for claim in verify.of_host(place.endpoint, place.expected, self.wanted):
                if claim.kind is ClaimKind.RELOAD_SURVIVED:
                    evidence = _survived(reloaded[port], port, seen)
                else:
                    evidence = verify.OF_HOST[claim.kind](claim, self._facts[port])
                made.append(self._proof(claim, evidence))
        return tuple(made)

    def _noting(self, look: Observe) -> Observe:
        """Looks, and remembers where there was no way to look."""

        def observe(asked: Question) -> Observation:
            seen = look(asked)
            if seen.reach is Reach.UNROUTABLE:
                self._missed[asked.endpoint] = "; ".join(seen.gaps)
            return seen

        return observe

    def _proof(self, claim: Claim, evidence: Evidence) -> Proof:
        return Proof(claim, evidence.result, evidence.lines, rfc3339(self._now()))

    # -- claims and looks ----------------------------------------------------------------------

    def _known(self, place: Place, scratch: str) -> Place:
        """With the certificate that is to be served, and the CA as a file of this machine."""
        expected = dict(place.expected)
        facts = self._facts.get(place.endpoint.port)
        planned = self._request.certificate or (
            (expected.get("certificate", "") or served_file(facts, place.endpoint.port))
            if self._host is not None
            else ""
        )
        expected["certificate"] = planned
        if self._request.valid_days:
            until = self._now() + self._request.valid_days * _DAY
            expected["valid-until"] = rfc3339(until)
        if not self._request.authority and expected["authority"]:
            expected["authority"] = self._fetched(expected["authority"], scratch)
        return dataclasses.replace(place, expected=expected)

    def _fetched(self, path: str, scratch: str) -> str:
        """A copy of the mail host's CA; empty where there is none to be had."""
        copy = "%s/%s.pem" % (scratch, path.strip("/").replace("/", "-"))
        try:
            data = self._read(path)
        except OSError:
            return ""
        with open(copy, "wb") as file:
            file.write(data)
        return copy

    def _claims(self, place: Place) -> Iterator[Claim]:
        if place.sealed:
            yield from verify.lines(place.endpoint, place.vantage, place.expected, self.wanted)
        for kind in place.kinds:
            if kind not in SEALED:
                yield Claim(kind, place.endpoint, place.vantage, place.expected)

    def _closed(self, places: Sequence[Place]) -> list[Claim]:
        """The ports that must not be reachable, at every address."""
        wanted = {
            dataclasses.replace(place.endpoint, port=port): place.vantage
            for place in places
            for port in self._request.closed
        }
        return [Claim(ClaimKind.CLOSED, where, vantage, {}) for where, vantage in wanted.items()]

    def _ask(self, claim: Claim) -> Question:
        """All that the lines of an endpoint need, in one look."""
        asked = dataclasses.replace(question(claim), limits=self._request.limits)
        if claim.kind in PLAIN:
            return asked
        return dataclasses.replace(
            asked,
            versions=True,
            suites=True,
            dummy=self._dummy,
            # Where cleartext is taken, the wire shows it.
            login=self._dummy if self._request.eavesdrop else None,
            relay=claim.expected.get("protocol") == "smtp",
            intrusive=self._request.intrusive,
            account=self._request.account,
        )

    def _read(self, path: str) -> bytes:
        """A certificate's file: the one that was given here, or one of the mail host's."""
        if path not in self._files:
            if path == self._request.certificate:
                with open(path, "rb") as file:
                    self._files[path] = file.read()
            elif self._host is not None:
                self._files[path] = self._host.certificate(path)
            else:
                raise FileNotFoundError(path)
        return self._files[path]

    # -- the run as a whole ----------------------------------------------------------------------

    def _addresses(self, places: Sequence[Place]) -> Proof:
        """Every address was looked at, whatever came of it."""
        where = [each.endpoint for each in places]
        claim = Claim(ClaimKind.ALL_ADDRESSES, where[0], places[0].vantage, {})
        words = "looked at: %s" % ", ".join(map(str, where))
        missed = ["no look at %s: %s" % each for each in self._missed.items()]
        result = Result.UNKNOWN if missed else Result.PASS
        return self._proof(claim, Evidence(result, (*missed, words)))

    @contextlib.contextmanager
    def _listening(self) -> Iterator[Eavesdropper | None]:
        if not self._request.eavesdrop:
            yield None
            return
        try:
            with Eavesdropper(self._request.eavesdrop, _marks(self._dummy)) as ear:
                yield ear
        except CannotListen as error:
            raise BadInput("--eavesdrop: %s" % error) from None

    def _wire(self, ear: Eavesdropper, places: Sequence[Place], seen: Sequence[Proof]) -> Proof:
        """Our marked login was on the wire that was listened to, and could not be read."""
        claim = Claim(ClaimKind.WIRE_UNREADABLE, places[0].endpoint, Vantage.WIRE, {})
        heard = ear.octets([each.endpoint.port for each in places])
        sent = any(
            proof.claim.kind is ClaimKind.LOGIN_REJECTED and proof.result is not Result.UNKNOWN
            for proof in seen
        )
        told = "%d octets of ours heard on %s" % (heard, self._request.eavesdrop)
        if ear.readable:
            lines = ["the login can be read %s" % way for way in ear.readable]
            return self._proof(claim, Evidence(Result.FAIL, tuple(lines)))
        problems = [
            words
            for words, wrong in (
                (ear.fault, bool(ear.fault)),
                ("%d packets were missed" % ear.dropped, bool(ear.dropped)),
                ("no login was sent", not sent),
                (told, not heard),
            )
            if wrong
        ]
        if problems:
            return self._proof(claim, Evidence(Result.UNKNOWN, tuple(problems)))
        words = "%s; neither the user nor the password of our login is readable in them" % told
        return self._proof(claim, Evidence(Result.PASS, (words,)))

    def _reload(self) -> dict[int, str]:
        """Reloads what serves each port; what was said against it, by port."""
        assert self._host is not None
        said: dict[int, str] = {}
        for port, facts in self._facts.items():
            units = {each.unit for each in facts.listeners if each.port == port}
            names = sorted(unit for unit in units if unit.endswith(".service"))
            problems = [self._host.reload(name) for name in names]
            none = [] if names else ["no service unit serves port %d" % port]
            said[port] = "; ".join(filter(None, [*problems, *none]))
        return said


def _marks(login: Credentials) -> list[bytes]:
    """Every form in which the login may be read: the user's name, and the secret's."""
    return [login.name, base64.b64encode(login.name), *login.forms]


def _survived(problem: str, port: int, seen: Sequence[Proof]) -> Evidence:
    """The looks came after the reload, so they tell what it left."""
    if problem:
        return Evidence(Result.UNKNOWN, ("it was not reloaded: " + problem,))
    kinds = (ClaimKind.BACKEND_ANSWERS, ClaimKind.CLEARTEXT_REFUSED)
    after = [
        proof for proof in seen if proof.claim.kind in kinds and proof.claim.endpoint.port == port
    ]
    worst = {proof.result for proof in after}
    bad = [
        "%s at %s: %s" % (proof.claim.kind.value, proof.claim.endpoint, proof.result.value)
        for proof in after
        if proof.result is not Result.PASS
    ]
    if Result.FAIL in worst:
        return Evidence(Result.FAIL, ("after the reload:", *bad))
    if bad or not after:
        return Evidence(Result.UNKNOWN, ("after the reload:", *bad))
    return Evidence(Result.PASS, ("reloaded before the looks: the service is there, and sealed",))
