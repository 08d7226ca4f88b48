"""A value of `options` that stunnel does not know.

The table is what stunnel 5.68 prints; OpenSSL's own number is taken too. Another build may know
more, so the words name the version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule, without
from mailseal.lint.sections import every_option
from mailseal.model.finding import Severity

OPTIONS = frozenset(
    (
        "ALL ALLOW_CLIENT_RENEGOTIATION ALLOW_NO_DHE_KEX "
        "ALLOW_UNSAFE_LEGACY_RENEGOTIATION CIPHER_SERVER_PREFERENCE CISCO_ANYCONNECT "
        "CLEANSE_PLAINTEXT COOKIE_EXCHANGE CRYPTOPRO_TLSEXT_BUG DISABLE_TLSEXT_CA_NAMES "
        "DONT_INSERT_EMPTY_FRAGMENTS ENABLE_KTLS ENABLE_MIDDLEBOX_COMPAT EPHEMERAL_RSA "
        "IGNORE_UNEXPECTED_EOF LEGACY_SERVER_CONNECT MICROSOFT_BIG_SSLV3_BUFFER "
        "MICROSOFT_SESS_ID_BUG MSIE_SSLV2_RSA_PADDING NETSCAPE_CA_DN_BUG "
        "NETSCAPE_CHALLENGE_BUG NETSCAPE_DEMO_CIPHER_CHANGE_BUG "
        "NETSCAPE_REUSE_CIPHER_CHANGE_BUG NO_ANTI_REPLAY NO_COMPRESSION NO_DTLS_MASK "
        "NO_DTLSV1 NO_DTLSV1_2 NO_ENCRYPT_THEN_MAC NO_EXTENDED_MASTER_SECRET "
        "NO_QUERY_MTU NO_RENEGOTIATION NO_SESSION_RESUMPTION_ON_RENEGOTIATION "
        "NO_SSL_MASK NO_SSLV2 NO_SSLV3 NO_TICKET NO_TLSV1 NO_TLSV1_1 NO_TLSV1_2 "
        "NO_TLSV1_3 PKCS1_CHECK_1 PKCS1_CHECK_2 PRIORITIZE_CHACHA "
        "SAFARI_ECDHE_ECDSA_BUG SINGLE_DH_USE SINGLE_ECDH_USE SSLEAY_080_CLIENT_DH_BUG "
        "SSLREF2_REUSE_CERT_TYPE_BUG TLS_BLOCK_PADDING_BUG TLS_D5_BUG TLSEXT_PADDING "
        "TLS_ROLLBACK_BUG "
    ).split()
)
"""Without regard to case, as stunnel compares."""
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]+", re.IGNORECASE)


def check(document: stunnel.Document) -> Iterator[Hit]:
    for option in every_option(document):
        name = option.value.text.upper().removeprefix("-")
        known = name in OPTIONS or NUMBER.fullmatch(name)
        if option.key.text.lower() == "options" and not known:
            said = f"stunnel 5.68 knows no option {option.value.text!r}"
            out = without(document.data, option.span)
            yield Hit(option.value.span, said, out, stops=True)


RULE = Rule(
    id="stunnel-unknown-tls-option",
    title="An unknown value of options",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "options takes names of `stunnel -options` alone. With anything else stunnel does not "
        "start."
    ),
    fix="Remove the line.",
    check=check,
)
