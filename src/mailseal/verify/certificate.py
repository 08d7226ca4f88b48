"""What is served as a certificate, one line for each question: chain, name, dates, key, and whether
it is the one that was planned.

Strategy: whether the chain leads to a trusted root is OpenSSL's verdict. OpenSSL stops at the first
fault, in this order: the chain, the name, then from the root down signatures and dates; what it did
not get to is told as such. Name, dates and key are read from the leaf as well, so that one fault
hides no other.
"""

from __future__ import annotations

from mailseal.certs import Certificate, CertificateError, covers, describe
from mailseal.model.look import Observation
from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence, Read, leaf_of, not_in_tls
from mailseal.rules.tls_certificate import SMALLEST, WEAK_HASHES

_STOPPED = ("mismatch", "not verified: ", "too weak")
"""Words of OpenSSL's where it did not get to the end of the chain for another reason."""
_DATED = ("certificate has expired", "certificate is not yet valid")


def _leaf(seen: Observation) -> Certificate | Evidence:
    """The served certificate, or why there is none to judge."""
    missing = not_in_tls(seen)
    if missing is not None or seen.tls is None:
        return missing or Evidence(Result.UNKNOWN, ())
    if not seen.tls.chain:
        return Evidence(Result.FAIL, ("the server showed no certificate",))
    try:
        return describe(seen.tls.chain[0])
    except CertificateError as error:
        return Evidence(Result.FAIL, (str(error),))


def chain(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """It leads to a trusted root, those of the system or `--ca`."""
    leaf = _leaf(seen)
    if isinstance(leaf, Evidence) or seen.tls is None:
        return leaf if isinstance(leaf, Evidence) else Evidence(Result.UNKNOWN, ())
    trust = seen.tls.trust
    if not trust:
        return Evidence(Result.PASS, ("trusted, issued by %s" % leaf.issuer,))
    if any(words in trust for words in _STOPPED):
        return Evidence(Result.UNKNOWN, ("not looked at to its end: " + trust,))
    if any(words in trust for words in _DATED) and _out_of_date(leaf, seen.start):
        return Evidence(Result.PASS, ("trusted but for its dates, issued by %s" % leaf.issuer,))
    return Evidence(Result.FAIL, ("%s (issued by %s)" % (trust, leaf.issuer),))


def name(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """RFC 7817: it is for the name that clients are told, by subjectAltName alone."""
    leaf = _leaf(seen)
    if isinstance(leaf, Evidence) or seen.tls is None:
        return leaf if isinstance(leaf, Evidence) else Evidence(Result.UNKNOWN, ())
    wanted = seen.tls.name_checked
    names = ", ".join(leaf.names[:8]) or "no name at all"
    if covers(leaf, wanted) and "mismatch" not in seen.tls.trust:
        return Evidence(Result.PASS, ("it is for %s" % wanted,))
    hint = "" if claim.expected.get("name") else " (which name clients use is said by --name)"
    return Evidence(Result.FAIL, ("it is for %s, not for %s%s" % (names, wanted, hint),))


def dates(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """Valid at the moment of the look, and `days` more where the claim says so."""
    leaf = _leaf(seen)
    if isinstance(leaf, Evidence):
        return leaf
    words = "valid from %s to %s" % (leaf.not_before, leaf.not_after)
    # RFC 3339 in UTC with fixed fields sorts as text.
    until = claim.expected.get("valid-until", seen.start)
    if _out_of_date(leaf, seen.start) or leaf.not_after < until:
        more = ", which is before %s" % until if until > leaf.not_after >= seen.start else ""
        return Evidence(Result.FAIL, (words + more,))
    return Evidence(Result.PASS, (words,))


def _out_of_date(leaf: Certificate, moment: str) -> bool:
    return not leaf.not_before <= moment <= leaf.not_after


def key(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """RFC 9325 section 4.5: RSA of 2048 bits or more, or an elliptic curve; no SHA-1 or MD5."""
    leaf = _leaf(seen)
    if isinstance(leaf, Evidence):
        return leaf
    words = "%s with %d bits, signed with %s" % (leaf.key, leaf.bits, leaf.signature_hash or "none")
    if leaf.bits < SMALLEST.get(leaf.key, 0) or leaf.signature_hash in WEAK_HASHES:
        return Evidence(Result.FAIL, (words,))
    known = leaf.key != "unknown"
    return Evidence(Result.PASS if known else Result.UNKNOWN, (words,))


def planned(claim: Claim, seen: Observation, read: Read) -> Evidence:
    """The served leaf is the first certificate of the file: not an old one that a program which was
    never reloaded still holds.
    """
    served = _leaf(seen)
    if isinstance(served, Evidence) or seen.tls is None:
        return served if isinstance(served, Evidence) else Evidence(Result.UNKNOWN, ())
    path = claim.expected["certificate"]
    der = leaf_of(read, path)
    if der is None:
        return Evidence(Result.UNKNOWN, ("%s cannot be read from here" % path,))
    if der == seen.tls.chain[0]:
        return Evidence(Result.PASS, ("serial %s, as in %s" % (served.serial, path),))
    try:
        wanted = "serial %s, valid to %s" % (describe(der).serial, describe(der).not_after)
    except CertificateError as error:
        return Evidence(Result.UNKNOWN, ("%s: %s" % (path, error),))
    has = "served: serial %s, valid to %s" % (served.serial, served.not_after)
    return Evidence(Result.FAIL, (has, "%s: %s" % (path, wanted)))
