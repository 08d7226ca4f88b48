"""Who logs in, by the logs of mail servers: blocks of octets in, Logins and TlsFailures out.

Strategy: `cutting` finds the lines that may matter, `header` where a line has its message, and the
daemons' records (`mailseal.daemons.dialect`) what the message says. `reader` puts these together;
`sessions` joins lines, `fronts` gives back the clients that a TLS front hides. Only what a pattern
names gets out of a line, and nothing of a line gets into a message of ours.
"""

from mailseal.logs.fronts import Fronts
from mailseal.logs.reader import NAMES, Options, Reader

__all__ = ["NAMES", "Fronts", "Options", "Reader"]
