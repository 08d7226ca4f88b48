"""OpenPort on a machine: what is there already, the rule added, and ours taken away again.

Strategy: the firewall is asked before every step whether the rule is there, so each may be done
twice and after a crash. What was there before us is noted, and left.
"""

from __future__ import annotations

from typing import List, Optional

from mailseal.model import firewall
from mailseal.model.ops import OpenPort
from mailseal.system.base import Completed, System

SECONDS = 30.0
MOST = 4
"""Equal rules that are taken away at most; a kill may leave one more than was wished for."""


class Failed(Exception):
    """The firewall did not do it, or could not be asked; `str()` says what it said."""


def there(system: System, op: OpenPort) -> List[bool]:
    """Which of the op's rules are there. Raises Failed."""
    return [_sign(system, rule) is not None for rule in firewall.rules(op)]


def add(system: System, op: OpenPort) -> None:
    """Adds those that are not there. Raises Failed."""
    for rule in firewall.rules(op):
        if _sign(system, rule) is None:
            done = system.run(rule.add, timeout=SECONDS)
            if not done.ok or _sign(system, rule) is None:
                raise Failed(done.words())


def take(system: System, op: OpenPort, before: List[bool]) -> bool:
    """Takes away those that were not there before; whether there was anything to take. Raises
    Failed.
    """
    taken = False
    for rule, was_there in reversed([*zip(firewall.rules(op), before)]):
        for _ in range(0 if was_there else MOST):
            sign = _sign(system, rule, gone=True)
            if sign is None:
                break
            words = tuple(sign if word == firewall.HANDLE else word for word in rule.take)
            done = system.run(words, timeout=SECONDS)
            if not done.ok:
                raise Failed(done.words())
            taken = True
    return taken


_GONE = ("No such file or directory", "no such program", "INVALID_ZONE", "No chain/target/match")
"""How the firewalls say that there is no such chain or zone, nor they themselves."""


def _sign(system: System, rule: firewall.Rule, gone: bool = False) -> Optional[str]:
    """What stands behind the rule's sign, None where the rule is not there. With `gone` a chain
    that is not there has no rule of ours.
    """
    done = system.run(rule.look, timeout=SECONDS)
    if gone and _ended(done):
        return None
    if not rule.sign:
        if done.code not in (0, 1):
            raise Failed(done.words())
        return "" if done.ok else None
    if not done.ok:
        raise Failed(done.words())
    for line in done.out.decode("utf-8", "replace").splitlines():
        _, found, behind = line.partition(rule.sign)
        if found:
            return behind.strip()
    return None


def _ended(done: Completed) -> bool:
    return not done.ok and any(words in done.words() for words in _GONE)
