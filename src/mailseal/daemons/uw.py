"""The daemons of UW IMAP (and Panda IMAP): ipop2d, ipop3d, imapd.

They never open a socket themselves: inetd, xinetd or systemd does, and has the line.
"""

from __future__ import annotations

from mailseal.daemons.base import Daemon, nothing

DAEMON = Daemon("uw-imap", ("*/ipop2d", "*/ipop3d", "*/imapd"), nothing)
