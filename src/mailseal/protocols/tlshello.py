"""Does a server accept this TLS version? A bare ClientHello asks, without any library.

Modern OpenSSL cannot be talked into offering SSLv3, and offers TLS 1.0 only with its security
lowered. One hand-made ClientHello per version (RFC 8446 4.1.2, RFC 5246 7.4.1.2) and a look at the
first record of the answer tell all: a ServerHello of that version is a yes, an alert a no. Nothing
is negotiated, no key is ever agreed.
"""

from __future__ import annotations

import struct
from typing import Dict, Mapping, Optional, Tuple

VERSIONS: Dict[str, int] = {
    "SSLv3": 0x0300,
    "TLSv1": 0x0301,
    "TLSv1.1": 0x0302,
    "TLSv1.2": 0x0303,
}
"""What can be asked this way; TLS 1.3 shows itself in an ordinary handshake."""

# ECDHE and RSA with AES and 3DES, CBC and GCM, SHA-1 and SHA-2: something every server of the
# last 25 years can choose from.
_SUITES = (
    0xC02F, 0xC030, 0xC02B, 0xC02C, 0xC013, 0xC014, 0xC009, 0xC00A,
    0x009C, 0x009D, 0x002F, 0x0035, 0x003C, 0x003D, 0x0033, 0x0039, 0x000A, 0x0005,
)  # fmt: skip

WEAK: Mapping[str, Mapping[int, str]] = {
    "must not": {
        0x0001: "RSA_WITH_NULL_MD5", 0x0002: "RSA_WITH_NULL_SHA", 0x003B: "RSA_WITH_NULL_SHA256",
        0xC006: "ECDHE_ECDSA_WITH_NULL_SHA", 0xC010: "ECDHE_RSA_WITH_NULL_SHA",
        0x0018: "DH_anon_WITH_RC4_128_MD5", 0x001B: "DH_anon_WITH_3DES_EDE_CBC_SHA",
        0x0034: "DH_anon_WITH_AES_128_CBC_SHA", 0x003A: "DH_anon_WITH_AES_256_CBC_SHA",
        0x006C: "DH_anon_WITH_AES_128_CBC_SHA256", 0x00A6: "DH_anon_WITH_AES_128_GCM_SHA256",
        0x00A7: "DH_anon_WITH_AES_256_GCM_SHA384", 0xC015: "ECDH_anon_WITH_NULL_SHA",
        0xC016: "ECDH_anon_WITH_RC4_128_SHA", 0xC018: "ECDH_anon_WITH_AES_128_CBC_SHA",
        0xC019: "ECDH_anon_WITH_AES_256_CBC_SHA",
        0x0003: "RSA_EXPORT_WITH_RC4_40_MD5", 0x0006: "RSA_EXPORT_WITH_RC2_CBC_40_MD5",
        0x0008: "RSA_EXPORT_WITH_DES40_CBC_SHA", 0x0014: "DHE_RSA_EXPORT_WITH_DES40_CBC_SHA",
        0x0009: "RSA_WITH_DES_CBC_SHA", 0x0015: "DHE_RSA_WITH_DES_CBC_SHA",
        0x0004: "RSA_WITH_RC4_128_MD5", 0x0005: "RSA_WITH_RC4_128_SHA",
        0xC007: "ECDHE_ECDSA_WITH_RC4_128_SHA", 0xC011: "ECDHE_RSA_WITH_RC4_128_SHA",
    },
    "below 128 bits": {
        0x000A: "RSA_WITH_3DES_EDE_CBC_SHA", 0x0016: "DHE_RSA_WITH_3DES_EDE_CBC_SHA",
        0xC008: "ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", 0xC012: "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    },
    "no forward secrecy": {
        0x002F: "RSA_WITH_AES_128_CBC_SHA", 0x0035: "RSA_WITH_AES_256_CBC_SHA",
        0x003C: "RSA_WITH_AES_128_CBC_SHA256", 0x003D: "RSA_WITH_AES_256_CBC_SHA256",
        0x009C: "RSA_WITH_AES_128_GCM_SHA256", 0x009D: "RSA_WITH_AES_256_GCM_SHA384",
        0x0041: "RSA_WITH_CAMELLIA_128_CBC_SHA", 0x0084: "RSA_WITH_CAMELLIA_256_CBC_SHA",
    },
}  # fmt: skip
"""Cipher suites (IANA's numbers and names) by what RFC 9325 section 4.1 says against them: no
encryption, no authentication, export strength, DES and RC4 must not be negotiated; what has less
than 128 bits and what has the key encrypted to the certificate (static RSA) should not.
"""

_GROUPS = (0x001D, 0x0017, 0x0018, 0x0019)
_SIGNATURES = (0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501, 0x0203, 0x0201)


def _extension(kind: int, body: bytes) -> bytes:
    return struct.pack("!HH", kind, len(body)) + body


def _shorts(values: "tuple[int, ...]") -> bytes:
    return struct.pack("!H%dH" % len(values), 2 * len(values), *values)


def client_hello(version: int, random: bytes, suites: Tuple[int, ...] = _SUITES) -> bytes:
    """The record to send. `random` is 32 octets (RFC 5246 7.4.1.2)."""
    extensions = b""
    if version > 0x0300:
        extensions = _extension(0x000A, _shorts(_GROUPS)) + _extension(0x000B, b"\x01\x00")
    if version >= 0x0303:
        extensions += _extension(0x000D, _shorts(_SIGNATURES))
    body = struct.pack("!H", version) + random + b"\x00" + _shorts(suites) + b"\x01\x00"
    if extensions:
        body += struct.pack("!H", len(extensions)) + extensions
    handshake = b"\x01" + struct.pack("!I", len(body))[1:] + body
    # The record layer says 3.0 or 3.1, for servers that choke on more (RFC 8446 5.1).
    return struct.pack("!BHH", 0x16, min(version, 0x0301), len(handshake)) + handshake


def accepts(version: int, answer: bytes) -> Optional[bool]:
    """Reads the server's first octets. True: it would speak this version; False: it refuses;
    None: not enough octets yet, or no TLS at all (an HTTP error, say).
    """
    if answer[:2] == b"\x15\x03":
        return False
    if len(answer) < 11 or answer[:2] != b"\x16\x03" or answer[5] != 0x02:
        return None
    return bool(struct.unpack("!H", answer[9:11])[0] == version)


SERVER_HELLO = 78
"""Octets of a record up to the cipher suite that the server chose, at most."""


def chosen(answer: bytes) -> Optional[int]:
    """The cipher suite of a ServerHello (RFC 5246 7.4.1.3); None where there is no such thing."""
    if len(answer) < 44 or answer[:2] != b"\x16\x03" or answer[5] != 0x02:
        return None
    at = 44 + answer[43]
    return int(struct.unpack("!H", answer[at : at + 2])[0]) if len(answer) >= at + 2 else None
