"""Words of TLS libraries, as the lab's daemons logged them, and what they amount to."""

import pytest

from mailseal.logs.reasons import OTHER, UNTOLD, reason

AUTHORITY = "an unknown authority: one side does not trust the other's certificate"
OLD, CIPHER, NO_TLS = "too old a version of TLS", "no cipher in common", "not TLS at all"
ENDED = "the connection ended in the middle of the handshake"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        # OpenSSL 3: Dovecot, Postfix, stunnel
        ("error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48", AUTHORITY),
        ("error:0A000102:SSL routines::unsupported protocol", OLD),
        ("error:0A0000C1:SSL routines::no shared cipher:../ssl/statem/statem_srvr.c:2226:", CIPHER),
        ("error:0A00010B:SSL routines::wrong version number", NO_TLS),
        ("error:0A00009C:SSL routines::http request", NO_TLS),
        ("error:0A000126:SSL routines::unexpected eof while reading", ENDED),
        ("SSL_accept() syscall failed: Invalid argument", ENDED),
        ("error:0A000416:SSL routines::sslv3 alert certificate unknown",
         "a certificate that one side refuses"),
        ("error:0A000415:SSL routines::sslv3 alert certificate expired",
         "a certificate that has expired"),
        ("error:0A000410:SSL routines::sslv3 alert handshake failure", CIPHER),
        ("error:0A00042E:SSL routines::tlsv1 alert protocol version", OLD),
        ("lost connection", ENDED),
        # OpenSSL 1.0
        ("error:1408F10B:SSL routines:SSL3_GET_RECORD:wrong version number", NO_TLS),
        ("error:140760FC:SSL routines:SSL23_GET_CLIENT_HELLO:unknown protocol", NO_TLS),
        # GnuTLS: Exim, Courier
        ("CA is unknown", AUTHORITY),
        ("No supported cipher suites have been found.", CIPHER),
        ("An unexpected TLS packet was received.", NO_TLS),
        ("Decryption has failed.",
         "the client ended it, most likely because it refuses the certificate"),
        ("The TLS connection was non-properly terminated.", ENDED),
        ("A packet with illegal or unsupported version was received.", OLD),
        ("A TLS fatal alert has been received.", "the client refused, and does not say why"),
        ("", UNTOLD),
        ("something else", OTHER),
    ],
)  # fmt: skip
def test_what_a_library_s_words_amount_to(said: str, meant: str):
    assert reason(said.encode()) == meant
