"""Exim.

It names itself and its release. What it does not advertise to a client it does not take from it
("AUTH command used when not advertised"), and auth_advertise_hosts may depend on the client's
address: a look shows what its own address is offered.
"""

from mailseal.daemons.base import Daemon, Sign, text
from mailseal.model.look import Vantage

DAEMON = Daemon(
    name="Exim",
    signs=(Sign(("smtp",), text(r"\bExim (?P<version>\d[\w.]*)")),),
    traps={Vantage.SELF: "Exim's auth_advertise_hosts may hold for other addresses than this"},
)
