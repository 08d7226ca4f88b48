"""Why TLS did not come about, in our words: the same for the same trouble, whoever tells it.

Strategy: a table over the words of OpenSSL and GnuTLS, the most telling first. What a library says
beyond that is not kept: it may repeat what a peer sent.
"""

from __future__ import annotations

import re

UNTOLD = "the log does not say why"
OTHER = "the handshake failed"

_TABLE = (
    (
        rb"unknown.ca|ca is unknown|self.signed|unable to get (?:local )?issuer|issuer unknown",
        "an unknown authority: one side does not trust the other's certificate",
    ),
    (rb"certificate.{0,9}expired|expired certificate", "a certificate that has expired"),
    (
        rb"bad.certificate|certificate.unknown|unsupported.certificate"
        rb"|certificate verify failed|certificate is bad",
        "a certificate that one side refuses",
    ),
    (rb"peer did not return a certificate|no certificate", "no certificate of the client's"),
    (
        rb"unsupported.protocol|version too low|protocol.version|no protocols available"
        rb"|inappropriate.fallback|illegal or unsupported version",
        "too old a version of TLS",
    ),
    (
        rb"no shared cipher|no supported cipher|no suitable|cipher suite|handshake.failure"
        rb"|key too small|insufficient.security",
        "no cipher in common",
    ),
    (
        rb"http request|unknown protocol|wrong.version.number|packet length too long"
        rb"|unexpected.{0,6}packet|unexpected.{0,6}handshake|bad.record.type"
        rb"|record layer failure",
        "not TLS at all",
    ),
    (
        # What GnuTLS says of a TLS 1.3 client's alert (seen: Exim 4.96, Courier of Debian 12).
        rb"decryption has failed",
        "the client ended it, most likely because it refuses the certificate",
    ),
    (rb"alert", "the client refused, and does not say why"),
    (
        rb"\beof\b|connection (?:closed|reset|lost)|reset by peer|lost connection|syscall"
        rb"|disconnected|timed? ?out|timeout|prematurely|non-properly terminated|success",
        "the connection ended in the middle of the handshake",
    ),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), words) for pattern, words in _TABLE)


def reason(said: bytes) -> str:
    """What a library's or daemon's words amount to."""
    if not said.strip():
        return UNTOLD
    return next((words for pattern, words in _COMPILED if pattern.search(said)), OTHER)
