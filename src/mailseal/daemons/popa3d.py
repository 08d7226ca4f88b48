"""popa3d: USER, PASS and QUIT, and neither names nor reasons.

Its greeting is a bare "+OK" (pop_root.c), which others have as well; so it is only probable.
"""

from mailseal.daemons.base import Daemon, Sign, text

DAEMON = Daemon(name="popa3d (probably)", signs=(Sign(("pop3",), text(r"^\+OK ?$")),))
