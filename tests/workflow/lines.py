"""What a verification came to, in the words of tests."""

from mailseal.model.plan import Result
from mailseal.model.verification import Verification

ALWAYS = {
    "all-addresses", "tls-alone", "cleartext-refused", "tls-versions", "tls-ciphers",
    "certificate-chain", "certificate-name", "certificate-dates", "certificate-key",
    "backend-answers", "login-rejected", "scanner-closes",
}  # fmt: skip
"""Lines that a service gets unasked."""


def results(made: Verification) -> dict[str, Result]:
    return {proof.claim.kind.value: proof.result for proof in made.proofs}


def failed(made: Verification) -> set[str]:
    """The lines that fail; of the others each passes or could not be told."""
    return {kind for kind, result in results(made).items() if result is Result.FAIL}


def untold(made: Verification) -> set[str]:
    return {kind for kind, result in results(made).items() if result is Result.UNKNOWN}


def wrong(made: Verification) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (each.claim.kind.value, each.evidence)
        for each in made.proofs
        if each.result is not Result.PASS
    ]


def evidence(made: Verification, kind: str) -> str:
    (proof,) = (each for each in made.proofs if each.claim.kind.value == kind)
    return "; ".join(proof.evidence)
