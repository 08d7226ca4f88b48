"""A throwaway copy of a host as one more host: looked at from the street before it.

Strategy: whoever keeps the copy, this machine or one at the other end of ssh, can do two things for
us: run a program as root, and look from the street. All else is as with any host that the agent is
carried to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol, Self

from mailseal import agent, bundle
from mailseal.apply.executor import Refused
from mailseal.model.change import Actor
from mailseal.model.look import Endpoint, Observation
from mailseal.probe.look import Question
from mailseal.system.base import Completed
from mailseal.system.copyplace import Place
from mailseal.system.hostcopy import CannotCopy, HostCopy
from mailseal.system.live import LiveSystem
from mailseal.system.talk import talk
from mailseal.workflow import BadInput
from mailseal.workflow.hosts import SECONDS, Carried, OverSsh, Tell, silent


class Keeper(Protocol):
    """The host that has the copy."""

    scratch: str | None
    """Where our public certificates are put meanwhile; None for the usual place."""

    def as_root(
        self, argv: Sequence[str], data: bytes = b"", tell: Tell | None = None
    ) -> Completed:
        """Runs a program there to its end."""
        ...

    def look(self, question: Question, before: Sequence[str] = ()) -> Observation:
        """A look from there; the words `before` come before the command that takes it."""
        ...


class ThisHost:
    """This host as a keeper."""

    def __init__(self, place: Place) -> None:
        self.scratch: str | None = place.scratch
        self._looker = place.scratch + "/mailseal.pyz"

    def __enter__(self) -> Self:
        with open(self._looker, "wb") as file:
            file.write(bundle.build())
        return self

    def __exit__(self, *exception: object) -> None:
        """It goes with the copy."""

    def as_root(
        self, argv: Sequence[str], data: bytes = b"", tell: Tell | None = None
    ) -> Completed:
        return talk(argv, data, SECONDS, tell or silent)

    def look(self, question: Question, before: Sequence[str] = ()) -> Observation:
        return agent.looker(LiveSystem(), before, self._looker)(question)


class InCopy(Carried):
    """A throwaway copy of a host, looked at from its street."""

    def __init__(
        self, keeper: Keeper, place: Place, name: str, tell: Tell, actor: Actor | None = None
    ) -> None:
        super().__init__(name, tell, actor)
        self._keeper = keeper
        self._place = place
        self.scratch = keeper.scratch

    def _run(self, argv: Sequence[str], data: bytes = b"", tell: Tell | None = None) -> Completed:
        return self._keeper.as_root(self._place.words(argv, SECONDS - 10), data, tell)

    def _observe(self, question: Question) -> Observation:
        return self._keeper.look(question, self._place.street)

    def _source(self, endpoint: Endpoint) -> str:
        return ""


@contextlib.contextmanager
def copied(
    target: str | None, wanted: Sequence[str], name: str, tell: Tell
) -> Iterator[tuple[InCopy, tuple[str, ...]]]:
    """A copy of the host of a target (`ssh://...`; None: this one), for a `with`, and what it
    lacks. `wanted` are packages to fetch into it, `name` is for messages. Raises Refused where no
    copy can be made, BadInput, HostUnreachable.
    """
    kept = _here(wanted, tell) if target is None else _far(target, wanted, tell)
    with kept as (keeper, place), InCopy(keeper, place, name, tell) as host:
        yield host, place.gaps


@contextlib.contextmanager
def _here(wanted: Sequence[str], tell: Tell) -> Iterator[tuple[Keeper, Place]]:
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(HostCopy(LiveSystem(), wanted, tell))
        except CannotCopy as error:
            raise Refused([str(error), "Nothing was rehearsed."]) from None
        yield stack.enter_context(ThisHost(place)), place


@contextlib.contextmanager
def _far(target: str, wanted: Sequence[str], tell: Tell) -> Iterator[tuple[Keeper, Place]]:
    try:
        far = OverSsh(target, tell)
    except ValueError as error:
        raise BadInput(str(error)) from None
    with far, far.copied(wanted) as place:
        yield far, place
