"""`mailseal watch`: again and again, and whoever wants to know is told.

Strategy: one thread does everything in turn, so rounds cannot overlap and nothing is shared: a
round when it is due, what the logs have grown by, what waits to be delivered; in between it sleeps.
After each of them the state is written whole, what is known and what is still to be told together:
a kill at any moment loses at most the round it interrupts, which is then taken again. What cannot
be written (the disk is full) is kept in memory, said, and tried again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from mailseal.model.finding import Severity
from mailseal.model.look import Endpoint
from mailseal.model.moment import rfc3339, seconds
from mailseal.model.policy import State, deviation_id
from mailseal.model.watching import Ledger, Receiver, Told, Trouble, WatchState
from mailseal.system.base import Completed
from mailseal.system.live import LiveSystem
from mailseal.watch import alerts, figures, keep, listener, sinks
from mailseal.watch.metrics import exposition
from mailseal.watch.schedule import Schedule, Stamps
from mailseal.workflow import BadInput, heard, logs, scan
from mailseal.workflow.heard import Heard
from mailseal.workflow.recording import recorder
from mailseal.workflow.rounds import BLIND, PATIENCE, Outcome, Round, Standing
from mailseal.workflow.watchrequest import Clocks, Request

BATCH = 20
"""Notices that one receiver is sent at a time, before anything else gets its turn."""
AGAIN = (5.0, 600.0)
"""Seconds until a delivery is tried again: the first time, and at most."""
TICK = 0.5
"""Seconds of sleep at a time, at most: so long an end that is asked for may have to wait."""
SAVE = 60.0
"""Seconds after which what logs make of the state and the metrics is written, without a round."""

__all__ = ["StateError", "StateInUse", "Watch", "watch"]

StateError = keep.StateError
StateInUse = keep.StateInUse
Stop = Callable[[], bool]
Tell = Callable[[str], None]


class _Stopped(Exception):
    """The end was asked for in the middle of a round."""


def watch(
    request: Request,
    show: sinks.Print,
    tell: Tell,
    stop: Stop = lambda: False,
    clocks: Clocks | None = None,
) -> Watch:
    """Watches until `stop` says so, or for one round; what it came to. `show` prints a notice,
    `tell` says something to who runs it. Raises BadInput where it cannot begin; `keep.StateError`
    where the state is in use or damaged.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(keep.held(request.state))
        made = Watch(request, show, tell, stop, clocks or Clocks())
        if request.logs:
            made.hear(stack.enter_context(Heard(made.since(request.logs))))
        if request.metrics:
            try:
                port = stack.enter_context(listener.listening(*request.metrics, lambda: made.text))
            except (OSError, ValueError) as error:
                raise BadInput(f"--metrics: {getattr(error, 'strerror', '') or error}") from None
            tell(f"metrics are at port {port} of {request.metrics[0]}, /metrics")
        made.run()
    return made


class Watch:
    """The loop. `text` are the newest metrics; `outcome` is the newest round's, None where none
    ended.
    """

    def __init__(
        self, request: Request, show: sinks.Print, tell: Tell, stop: Stop, clocks: Clocks
    ) -> None:
        self._request = request
        self._show = show
        self._tell = tell
        self._stop = stop
        self._clocks = clocks
        self._run = LiveSystem().run
        self._logs: Heard | None = None
        self._listened = 0
        self._figures = figures.Figures(interval=request.pace.interval)
        self._own = self._services = ""
        self._later: dict[str, tuple[int, float]] = {}
        self._complaints: set[str] = set()
        self._remember(keep.load(request.state))
        self.text = ""
        self.outcome: Outcome | None = None
        self._unrecorded = False
        self._figure()

    def _remember(self, state: WatchState) -> None:
        """Takes up where another process left off."""
        request, clocks = self._request, self._clocks
        self._began, self._read = state.began, state.read
        self._ledgers = {each.name: Ledger({}) for each in request.rules.receivers}
        for name, ledger in state.ledgers.items():
            if name in self._ledgers:
                self._ledgers[name] = ledger
            elif ledger.waiting:
                words = f"{len(ledger.waiting)} notices for {name} are dropped"
                self._tell(f"{words}: it is no receiver any more")
        self._standing = Standing(
            {each.id: each for each in state.broken},
            {Endpoint(each.address, each.port, each.site): each for each in state.served},
        )
        began = _moment(state.began)
        self._figures.looked = began or clocks.wall()
        self._stamps = Stamps(clocks.wall, clocks.steady, max(began, _moment(state.read)))
        since = clocks.wall() - began if began and not request.once else None
        self._schedule = Schedule(request.pace, clocks.steady, clocks.chance, since)
        self._dirty = False
        self._written = self._saved = clocks.steady()

    @property
    def unwritten(self) -> bool:
        """Whether the store, the state or the textfile did not take everything."""
        return self._unrecorded or bool(self._complaints & {"state", "textfile"})

    def hear(self, logs: Heard) -> None:
        """These logs are followed too."""
        self._logs = logs

    def since(self, request: logs.Request) -> logs.Request:
        """The logs from where they were read up to, or from now on."""
        now = self._stamps()
        # Logs have whole seconds. What was read "in the future" was read before the clock was set.
        return replace(request, since=rfc3339(int(min(now, _moment(self._read) or now))))

    def run(self) -> None:
        """Until the end is asked for."""
        with contextlib.suppress(_Stopped):
            while not self._stop():
                if self._logs:
                    self._logs.listen()
                due = self._schedule.left() <= 0
                if due:
                    self._round()
                    self._save()
                self._deliver()
                self._save()
                self._figure(due)
                if due and self._request.once:
                    return
                self._clocks.sleep(min(TICK, max(self._schedule.left(), 0.01)))
        self._save(last=True)

    # ---- a round ---------------------------------------------------------------------------------

    def _round(self) -> None:
        began, now = self._clocks.steady(), self._stamps()
        self._schedule.begin()
        bad: list[Trouble] = []
        outcome: Outcome | None = None
        try:
            outcome = self._look(now)
        except BadInput as error:
            if self.outcome is None and not self._began:
                raise  # Nothing was ever looked at: who begins it must mend that.
            self._tell(f"nothing could be looked at: {error}")
            bad.append(_blind(f"nothing could be looked at: {error}"))
            self._figures.rounds["failed"] += 1
        lost = outcome is None or bool(outcome.lost)
        self._schedule.end(lost)
        if outcome is not None:
            self.outcome = outcome
            self._standing = outcome.standing
            self._figures.states = {state.value: outcome.states[state] for state in State}
            self._figures.rounds["lost" if lost else "done"] += 1
            bad += outcome.troubles
            if lost:
                self._tell(f"nothing could be reached: {outcome.lost}")
                if self._schedule.lost >= PATIENCE:
                    bad.append(_blind(f"nothing can be reached: {outcome.lost}"))
        self._alert({each.id: each for each in bad}, outcome)
        if not lost:
            self._began = rfc3339(now)
            self._figures.looked = now
        self._figures.newest, self._figures.took = now, self._clocks.steady() - began
        self._dirty = True

    def _look(self, now: float) -> Outcome:
        """Raises BadInput, _Stopped."""
        request = self._request
        told = {each.trouble.where for each in self._told().values()}
        this = Round(request.policy, self._standing, rfc3339(now), told)
        option, environment = request.store or (None, {})
        with (
            recorder(request.store is not None, option, environment, self._tell) as memory,
            contextlib.closing(
                scan.scan(request.scan, self._stamps, self._stoppable, self._tell)
            ) as results,
        ):
            this.take(memory.recorded(results))
            outcome = this.end()
            if self._logs:
                troubles, logins = self._logs.taken(request.rules.failing_clients)
                memory.take_logins(logins, ", ".join(self._logs.paths)[:200])
                seen = heard.exposed(logins, request.policy, rfc3339(now))
                outcome = replace(outcome, troubles=(*outcome.troubles, *troubles, *seen))
                self._listened += 1
            self._unrecorded |= memory.failed
        return outcome

    def _stoppable(self, standing: object) -> None:
        if self._stop():
            raise _Stopped

    # ---- who is told -----------------------------------------------------------------------------

    def _told(self) -> dict[str, Told]:
        return {id: told for each in self._ledgers.values() for id, told in each.told.items()}

    def _alert(self, bad: Mapping[str, Trouble], outcome: Outcome | None) -> None:
        known = {id: each.trouble for id, each in self._told().items() if id not in bad}
        gone = {id for id, each in known.items() if self._unwatched(each, outcome)}
        for id in sorted(gone):
            each = known[id]
            self._tell(f"not looked at any more: {each.rule} at {each.where}")
        undecided = {id for id, each in known.items() if not self._over(each, outcome)}
        for receiver in self._request.rules.receivers:
            ledger = self._ledgers[receiver.name]
            kept = {id: told for id, told in ledger.told.items() if id not in gone}
            ledger = replace(ledger, told=kept)
            now, host = self._stamps(), self._request.host
            self._ledgers[receiver.name] = alerts.step(receiver, ledger, bad, undecided, now, host)

    def _over(self, each: Trouble, outcome: Outcome | None) -> bool:
        """Whether it is known to be over, of a trouble that is not there."""
        if outcome is None:
            return False
        if each.rule in heard.RULES:
            # The first window after a restart is a short one.
            return self._logs is None or self._listened > 1
        if outcome.lost:
            return False
        if each.rule == BLIND:
            return True
        return each.id not in outcome.undecided and each.where in outcome.looked

    def _unwatched(self, each: Trouble, outcome: Outcome | None) -> bool:
        """Whether its place was taken out of the targets."""
        return (
            outcome is not None
            and outcome.complete
            and each.rule not in (*heard.RULES, BLIND)
            and each.where not in outcome.looked
        )

    def _deliver(self) -> None:
        for receiver in self._request.rules.receivers:
            tries, due = self._later.get(receiver.name, (0, 0.0))
            if tries and self._clocks.steady() < due:
                continue
            for notice in self._ledgers[receiver.name].waiting[:BATCH]:
                why = sinks.deliver(receiver, notice, self._program, self._show)
                if why:
                    self._put_off(receiver, tries, why)
                    break
                self._later.pop(receiver.name, None)
                self._complain(receiver.name, "")
                self._figures.sent[receiver.name] += 1
                ledger = self._ledgers[receiver.name]
                self._ledgers[receiver.name] = alerts.delivered(ledger, notice)
                self._dirty = True

    def _put_off(self, receiver: Receiver, tries: int, why: str) -> None:
        first, most = AGAIN
        patience = min(most, first * 2.0 ** min(tries, 20))
        self._later[receiver.name] = tries + 1, self._clocks.steady() + patience
        self._figures.refused[receiver.name] += 1
        waiting = len(self._ledgers[receiver.name].waiting)
        words = f"{receiver.name} does not take a notice ({why}): {waiting} wait, and are tried"
        self._complain(receiver.name, words + " again")

    def _program(self, words: list[str], data: bytes, limit: float) -> Completed:
        return self._run(words, data=data, timeout=limit)

    # ---- what outlives a restart, and what others read -------------------------------------------

    def _save(self, last: bool = False) -> None:
        steady = self._clocks.steady()
        at_once = self._dirty and "state" not in self._complaints
        late = (self._dirty or self._logs is not None) and steady - self._saved >= SAVE
        if not (at_once or late or last):
            return
        self._saved = steady
        if self._logs:
            self._read = rfc3339(self._stamps())
        state = WatchState(
            began=self._began,
            read=self._read,
            ledgers=self._ledgers,
            served=tuple(self._standing.served.values()),
            broken=tuple(self._standing.broken.values()),
        )
        try:
            keep.save(self._request.state, state)
        except OSError as error:
            self._figures.unsaved += 1
            words = f"the state {self._request.state} cannot be written ({error.strerror}): until"
            self._complain("state", words + " it can, a restart would tell again what was told")
            return
        self._complain("state", "")
        self._dirty = False

    def _figure(self, looked: bool = True) -> None:
        if looked:
            standing, policy = self._standing, self._request.policy
            self._services = exposition(
                (
                    *figures.of_services(standing.served.values()),
                    *figures.of_policy(policy.exceptions, standing.broken.values()),
                )
            )
        self._figures.ahead = self._stamps.ahead
        families = [*figures.of_watch(self._figures, self._ledgers)]
        if self._logs:
            families.append(figures.of_logs(self._logs.failures))
        own = exposition(families)
        if looked or own != self._own:
            self._own, self.text = own, own + self._services
        path, steady = self._request.textfile, self._clocks.steady()
        if path and (looked or steady - self._written >= SAVE):
            self._written = steady
            try:
                keep.write_whole(path, self.text.encode("utf-8"), 0o644)
                self._complain("textfile", "")
            except OSError as error:
                words = f"the textfile {path} cannot be written: {error.strerror}"
                self._complain("textfile", words)

    def _complain(self, about: str, words: str) -> None:
        """Says it once; empty words say that it is over."""
        if words and about not in self._complaints:
            self._tell(words)
        (self._complaints.add if words else self._complaints.discard)(about)


def _moment(text: str) -> float:
    return seconds(text) if text else 0.0


def _blind(words: str) -> Trouble:
    return Trouble(deviation_id(BLIND, ""), BLIND, "this watch", Severity.MEDIUM, words)
