"""Looks as values, for claims to be held against."""

from mailseal.model.look import (
    Attempt,
    Channel,
    Endpoint,
    Observation,
    Outcome,
    Reach,
    TlsFacts,
    Vantage,
)
from mailseal.model.plan import Claim, ClaimKind
from mailseal.probe.look import Question

WHERE = Endpoint("192.0.2.10", 109)
LEAF = b"leaf"
PEM = b"-----BEGIN CERTIFICATE-----\nbGVhZg==\n-----END CERTIFICATE-----\n"
EXPECTED = {"protocol": "pop2", "name": "mail.example", "certificate": "/c", "authority": "/a"}


def claim(kind: ClaimKind, vantage: Vantage = Vantage.REMOTE, **expected: str) -> Claim:
    return Claim(kind, WHERE, vantage, expected or EXPECTED)


def tls(trust: str = "", chain: tuple[bytes, ...] = (LEAF,)) -> TlsFacts:
    return TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, chain, trust, "mail.example")


def look(reach: Reach = Reach.OPEN, **more: object) -> Observation:
    values = {
        "endpoint": WHERE, "vantage": Vantage.REMOTE, "start": "", "end": "", "reach": reach,
        "protocol": None, "banner": "", "tls": None, "attempts": (), "transcript": (),
        "digest": "", "gaps": (),
    }  # fmt: skip
    return Observation(**{**values, **more})  # type: ignore[arg-type]


def attempt(outcome: Outcome, channel: Channel = Channel.CLEAR) -> Attempt:
    return Attempt("HELO", channel, True, outcome, "it answers " + outcome.value)


SEALED = look(tls=tls(), protocol="pop2", banner="+ POP2", attempts=(
    attempt(Outcome.OFFERED, Channel.TLS),
))  # fmt: skip
CLEARTEXT = look(protocol="pop2", banner="+ POP2", attempts=(attempt(Outcome.OFFERED),))
EAGER = look(tls=tls(), protocol="pop2", attempts=(attempt(Outcome.ACCEPTED),))
DEAD = look(tls=tls(), gaps=("tls: the server closed the connection",))
SILENT = look(gaps=("cleartext: nothing was said",))


class Looker:
    """Answers every question with one look, and remembers what was asked."""

    def __init__(self, seen: Observation) -> None:
        self.seen = seen
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> Observation:
        self.asked.append(question)
        return self.seen


def read(path: str) -> bytes:
    if path != "/c":
        raise FileNotFoundError(path)
    return PEM
