"""Postfix's smtpd.

It names itself and no release, unless smtpd_banner was changed. smtpd_sasl_exceptions_networks
leaves AUTH out of EHLO's list for some clients and takes it from them all the same
(smtpd_sasl_proto.c).
"""

from mailseal.daemons.base import Daemon, Sign, text

DAEMON = Daemon(
    name="Postfix",
    signs=(Sign(("smtp",), text(r"\bESMTP Postfix\b( \((?P<version>\d[\d.]*)\))?")),),
)
