"""Services that hang up on some: they are asked again, a bounded number of times, and nothing that
was answered is asked a second time. What could not be told is never called clean by that.

Strategy: real servers on loopback that drop connections by a list, for looks of several connections
each; what no server would do twice alike is told by looks as values.
"""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model.look import Endpoint, Observation, Reach, Vantage
from mailseal.model.plan import Claim, ClaimKind, Proof, Result
from mailseal.probe import blocking
from mailseal.probe.look import Limits, Question
from mailseal.protocols.base import Credentials
from mailseal.prove import prover
from mailseal.prove.again import PAUSES, Asked, Said, settle
from mailseal.prove.base import Evidence
from tests.probe import peers
from tests.probe.certificates import NAME, server_context
from tests.probe.test_upgrade import CLEAR, GREETING, INSIDE
from tests.prove.looks import CLEARTEXT, DEAD, SEALED, WHERE, claim, look, read

REFUSED, IN_TLS = ClaimKind.CLEARTEXT_REFUSED, ClaimKind.SERVICE_IN_TLS
SERVED = ClaimKind.CLEARTEXT_SERVED
PASS, FAIL, UNKNOWN = Result.PASS, Result.FAIL, Result.UNKNOWN
LIMITS = Limits(connect=1.0, answer=1.0, total=2.0)
BUSY = peers.says(b"-ERR Connection queue full\r\n", stay=0.0)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def native(ca: trustme.CA) -> peers.Peer:
    """A daemon that refuses cleartext logins and has TLS in the session."""
    return peers.scripted(GREETING, CLEAR, b"STLS", server_context(ca.issue_cert(NAME)), INSIDE)


def dropping(dropped: Iterable[bool], drop: peers.Peer, served: peers.Peer) -> peers.Peer:
    """Serves the connections for which the list says no, in the order they come, and all after."""
    turns = itertools.chain(dropped, itertools.repeat(False))
    lock = threading.Lock()

    def peer(connection) -> None:
        with lock:
            turn = next(turns)
        (drop if turn else served)(connection)

    return peer


class Asker:
    """Proves claims about one endpoint, and keeps what was slept and looked."""

    def __init__(self, authority: str = "") -> None:
        self._authority = authority
        self.slept: list[float] = []
        self.looks = 0

    def __call__(self, endpoint: Endpoint, kinds: Sequence[ClaimKind]) -> dict[ClaimKind, Proof]:
        def observe(question: Question) -> Observation:
            self.looks += 1
            asked = dataclasses.replace(question, limits=LIMITS)
            return blocking.observe(asked, authority=self._authority)

        expected = {"protocol": "pop3", "name": NAME}
        claims = [Claim(kind, endpoint, Vantage.REMOTE, expected) for kind in kinds]
        prove = prover({Vantage.REMOTE: observe}, read, None, sleep=self.slept.append)
        return dict(zip(kinds, prove(claims), strict=True))


@pytest.fixture
def asker(ca: trustme.CA, tmp_path: Path) -> Asker:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return Asker(str(tmp_path / "ca.pem"))


@pytest.mark.parametrize(
    ("drop", "first"),
    # A look makes three connections where it hears nothing, and one where it is told to go.
    [(peers.close, 1), (peers.close, 4), (peers.reset, 2), (peers.reset, 7), (BUSY, 1), (BUSY, 3)],
)
def test_a_service_that_drops_some_connections_is_proven_all_the_same(
    native: peers.Peer, asker: Asker, drop: peers.Peer, first: int
):
    with peers.serving(dropping([True] * first, drop, native)) as endpoint:
        proofs = asker(endpoint, (REFUSED, IN_TLS))
    assert {kind: proof.result for kind, proof in proofs.items()} == {REFUSED: PASS, IN_TLS: PASS}
    assert asker.looks == 1 + len(asker.slept)
    assert any("when asked again" in proof.evidence[-1] for proof in proofs.values())


def test_one_that_drops_the_upgrade_alone_too(native: peers.Peer, asker: Asker):
    with peers.serving(dropping([False, True], peers.close, native)) as endpoint:
        proofs = asker(endpoint, (REFUSED, IN_TLS))
    assert [proofs[kind].result for kind in (REFUSED, IN_TLS)] == [PASS, PASS]
    assert "when asked again" in proofs[IN_TLS].evidence[-1]
    assert "when asked again" not in proofs[REFUSED].evidence[-1]  # that had been answered


@pytest.mark.parametrize("drop", [peers.close, peers.reset])
def test_one_that_drops_all_is_asked_four_times_and_proves_nothing(
    native: peers.Peer, asker: Asker, drop: peers.Peer
):
    with peers.serving(dropping(itertools.repeat(True), drop, native)) as endpoint:
        proofs = asker(endpoint, (REFUSED, IN_TLS))
    assert (proofs[REFUSED].result, proofs[IN_TLS].result) == (UNKNOWN, FAIL)
    assert asker.looks == 1 + len(PAUSES)
    assert asker.slept == list(PAUSES)
    for proof in proofs.values():
        assert "asked again (looks after that: 3) it gave no answer" in proof.evidence[-1]


def test_a_service_that_answers_is_asked_once(native: peers.Peer, asker: Asker):
    with peers.serving(native) as endpoint:
        asker(endpoint, (REFUSED, IN_TLS, SERVED, ClaimKind.CLOSED))
    assert (asker.looks, asker.slept) == (1, [])


@given(st.lists(st.booleans(), max_size=16), st.sampled_from([peers.close, peers.reset]))
def test_an_exposed_service_is_never_called_clean(dropped: list[bool], drop: peers.Peer):
    with peers.serving(dropping(dropped, drop, peers.pop2)) as endpoint:
        proofs = Asker()(endpoint, (REFUSED, SERVED))
    assert proofs[REFUSED].result is not PASS
    assert (proofs[REFUSED].result is FAIL) is (proofs[SERVED].result is PASS)


# -- by looks as values ----------------------------------------------------------------------------


def turns(*seen: Observation) -> Callable[[Question], Observation]:
    """A look that sees these, one after the other, and no more."""
    left = iter(seen)
    return lambda question: next(left)


DROPPED = look(gaps=("cleartext: the server closed the connection",))
SHUT, FILTERED = look(Reach.CLOSED), look(Reach.FILTERED)
EXPOSED_AND_DROPPED = dataclasses.replace(CLEARTEXT, gaps=("TLS: the server reset the connection",))


@pytest.mark.parametrize(
    ("kind", "seen", "result"),
    [
        # A port that is closed or silent by then is no answer.
        (REFUSED, (DROPPED, SHUT, SHUT, SHUT), UNKNOWN),
        (REFUSED, (DROPPED, FILTERED, SHUT, FILTERED), UNKNOWN),
        (REFUSED, (DROPPED, SHUT, SEALED), PASS),
        (REFUSED, (DROPPED, CLEARTEXT), FAIL),
        (IN_TLS, (DEAD, DEAD, SEALED), PASS),
        (IN_TLS, (DEAD, CLEARTEXT), FAIL),
        (SERVED, (DROPPED, CLEARTEXT), PASS),
        (SERVED, (DROPPED, SEALED), FAIL),
        # What was answered is not asked again.
        (REFUSED, (EXPOSED_AND_DROPPED,), FAIL),
        (ClaimKind.CLOSED, (DROPPED,), FAIL),
    ],
)
def test_what_counts_of_later_looks(kind: ClaimKind, seen: tuple[Observation, ...], result: Result):
    prove = prover({Vantage.REMOTE: turns(*seen)}, read, None, sleep=lambda seconds: None)
    (proof,) = prove([claim(kind)])
    assert proof.result is result, proof.evidence


def test_what_takes_long_is_not_asked_again():
    hours = itertools.count(step=3600.0)
    asked = [Asked(claim(REFUSED), (Vantage.REMOTE, Question(WHERE)))]

    def judge(some: Sequence[Asked]) -> dict[Asked, Said]:
        return {each: Said(DROPPED, Evidence(UNKNOWN, DROPPED.gaps)) for each in some}

    found = settle(asked, judge, lambda seconds: pytest.fail("slept"), lambda: next(hours))
    assert found == {asked[0]: Evidence(UNKNOWN, DROPPED.gaps)}


def test_who_can_only_disprove_asks_again_where_that_seems_to_be_so():
    prove = prover({Vantage.VETH: turns(DROPPED)}, read, None)
    assert prove([claim(REFUSED)])[0].result is UNKNOWN
    prove = prover({Vantage.VETH: turns(DEAD, SEALED)}, read, None, sleep=lambda seconds: None)
    assert prove([claim(IN_TLS)])[0].result is UNKNOWN


def test_a_real_account_is_used_once():
    account = Credentials("somebody", "secret")

    def ask(made: Claim) -> Question:
        return Question(made.endpoint, account=account)

    prove = prover({Vantage.REMOTE: turns(DEAD)}, read, None, ask=ask)
    assert prove([claim(IN_TLS)])[0].result is FAIL
