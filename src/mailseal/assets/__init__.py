"""Software at an endpoint: who still mends it, which updates wait, and by when they are due.

Strategy: `support` is a table with the source and the day beside each line; `judge` puts together
what a banner, a package manager and others say. The package manager knows best: a distribution
mends an old version without changing its number, so such a version is judged by the distribution
and not by who wrote the program.
"""

from __future__ import annotations

from mailseal.assets.judge import judge, urgency
from mailseal.assets.support import LINES

__all__ = ["LINES", "judge", "urgency"]
