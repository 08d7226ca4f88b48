"""openssl.cnf(5) for a private CA bound to the names of one host, and for certificates under it.

Strategy: names stand in these files and not on command lines; only what OpenSSL 1.1.1 knows is
used. One place, because who makes a certificate and who renews it must ask for the same.
"""

from __future__ import annotations

import ipaddress
from typing import Dict, List, Tuple, Union


def configurations(names: Tuple[str, ...]) -> Dict[str, str]:
    """openssl.cnf(5) for the CA and for the service's certificate, for these names alone."""
    permitted: List[str] = []
    alternative: List[str] = []
    for name in names:
        address = _address(name)
        if address is None:
            permitted.append("DNS:" + name)
            alternative.append("DNS:" + name)
        else:
            mask = "255.255.255.255" if address.version == 4 else "ffff:" * 7 + "ffff"
            permitted.append("IP:%s/%s" % (address, mask))
            alternative.append("IP:%s" % address)
    # A constraint says nothing of kinds it does not name: exclude every address where none is
    # permitted, and every DNS name likewise.
    kinds = {entry.split(":", 1)[0] for entry in permitted}
    excluded = [] if "IP" in kinds else ["IP:0.0.0.0/0.0.0.0", "IP:::/::"]
    rules = ["permitted;" + entry for entry in permitted]
    rules += ["excluded;" + entry for entry in excluded]
    return {
        "ca.cnf": _AUTHORITY % ",".join(rules),
        "leaf.cnf": _SERVICE % ",".join(alternative),
    }


def _address(name: str) -> Union[ipaddress.IPv4Address, ipaddress.IPv6Address, None]:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


_AUTHORITY = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = mailseal private CA of this host
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
nameConstraints = critical, %s
"""

# The CN has a space: OpenSSL then never takes it for a DNS name.
_SERVICE = """\
[req]
prompt = no
distinguished_name = name
[name]
CN = mail service
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = %s
"""
