"""`mailseal purge`: logins out of the store, so that not an octet of them is left.

Strategy: what is asked for is counted first, and only what was counted by the same question goes.
The file is then written anew, and the write-ahead log emptied: also what was deleted before, or by
an older mailseal, is gone after it. That holds where nothing fits, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mailseal.model.moment import Clock
from mailseal.store import LoginFilter, Store
from mailseal.workflow import BadInput
from mailseal.workflow.words import ago, moment, where


@dataclass(frozen=True)
class Request:
    """Which logins, in the words of the command line; all that is given must fit. `before` is a
    day, `older_than` a span (30d), both of the last time; `client` an address, a network or a name.
    `everything`: all there are.
    """

    before: str = ""
    older_than: str = ""
    user: str = ""
    client: str = ""
    everything: bool = False


@dataclass(frozen=True)
class Purged:
    """`kinds` of logins went; None: the operator said no. `whole` is False where another process
    had the store open, which holds what was deleted until it ends.
    """

    kinds: int | None
    whole: bool = True


def asked(request: Request, now: Clock = time.time) -> LoginFilter:
    """What to delete. Raises BadInput, also where nothing says what."""
    words = (request.before, request.older_than, request.user, request.client)
    if request.everything and any(words):
        raise BadInput("--all-logins leaves nothing to choose: give it alone")
    if not (request.everything or any(words)):
        raise BadInput("say what goes: --before, --older-than, --user, --client or --all-logins")
    if request.before and request.older_than:
        raise BadInput("--before and --older-than say the same: give one of them")
    before = moment(request.before)
    if request.older_than:
        before = ago(request.older_than, now())
    network, name = where(request.client)
    return LoginFilter(before=before, user=request.user, network=network, client=name)


def purge(store: Store, which: LoginFilter, agreed: Callable[[int, int], bool]) -> Purged:
    """Deletes them where `agreed`, told how many kinds and how many users, says yes; it is not
    asked about nothing. Raises StoreError.
    """
    kinds = store.count(which)
    if kinds and not agreed(kinds, store.users(which)):
        return Purged(None)
    gone = store.forget(which)
    return Purged(gone, store.erase())
