"""Plans: findings and facts in, Ops and Claims out. A pure function, nothing is touched.

`strategies` holds one file a strategy; `make` chooses the endpoint's start, asks the strategy for
its steps and adds what every plan has: the scope it rests on, its headline, its claims.
"""

from __future__ import annotations

from mailseal.plan.base import AlreadySealed, Backend, Cannot, Given, Options
from mailseal.plan.make import affected, make
from mailseal.plan.seen import Seen

__all__ = ["AlreadySealed", "Backend", "Cannot", "Given", "Options", "Seen", "affected", "make"]
