"""`mailseal demo`: the whole story on this machine, from the finding to the rollback.

Strategy: a toy host with a legacy POP2 service, the real stunnel, and mailseal's own workflows: the
host is a `workflow.hosts.Host` like one behind SSH, and everything that plans, applies, proves and
undoes is the code that does so on a real host. Each step checks what it shows and ends the demo
where it is not so. Progress goes to one stream while it works, the summary to the other. Nothing is
left behind, whatever happens: everything hangs on one stack, and a signal unwinds it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from mailseal import agent, bundle
from mailseal.apply import changes, control, executor
from mailseal.apply.executor import Refused
from mailseal.assess import assess
from mailseal.demo import eavesdrop, mailprogram, signals, toyhost
from mailseal.demo.stage import TAP, Stage, stage
from mailseal.demo.supervisor import Children, environment, module
from mailseal.demo.toyhost import NAME, USER, ToyHost, toy_host
from mailseal.facts import local
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.change import ChangeHistory, Control
from mailseal.model.finding import Assessment, Verdict
from mailseal.model.host import HostFacts
from mailseal.model.local import LocalHost
from mailseal.model.look import Endpoint, Observation, Vantage
from mailseal.model.ops import EditFile, WriteFile
from mailseal.model.plan import ClaimKind, Plan, Proof, Receipt, Result, RunState
from mailseal.plan import Cannot, Options
from mailseal.probe.look import Limits, Observe, Question
from mailseal.prove import Prove, prover
from mailseal.report import plan as plan_report
from mailseal.report.layout import table
from mailseal.report.style import Style, harmless
from mailseal.system.live import PROGRAMS
from mailseal.workflow import plans, seal
from mailseal.workflow.hosts import Tell

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 6, 130
"""Exit codes (DESIGN.md)."""

PATIENCE = 3.0
"""Seconds for an answer: on a wire of our own nothing takes longer than that."""

WIDTH = 96

NEEDS = {"stunnel4": ("stunnel4", "stunnel"), "openssl": ("openssl",), "util-linux": ("setpriv",)}
"""Package to the names of its program, the first that is there."""


class Unexpected(Exception):
    """The demo saw something else than what it promises to show."""


class Missing(Exception):
    """A program is not there; `str()` says which package has it."""


def run(out: TextIO, err: TextIO, color: bool) -> int:
    """Tells the story: progress on `err`, the summary on `out`, in colour only where that is a
    terminal too. The exit code: 0 where all of it was shown, 1 where something was not as promised,
    6 where a program is missing (nothing was done), 130 where a signal ended it. Leaves nothing
    behind in any case.
    """
    style = Style(color)
    talk = _Talk(err, style)
    with signals.caught():
        try:
            programs = needed(os.pathsep.join((os.environ.get("PATH", ""), *PROGRAMS)))
            with contextlib.ExitStack() as stack:
                try:
                    summary = _Story(stack, talk, programs["stunnel4"]).tell()
                finally:
                    signals.ignore()
        except Missing as missing:
            talk.line(str(missing))
            return REFUSED
        except (Unexpected, Cannot, Refused) as unexpected:
            talk.line(style.paint("Not as promised: ", "red") + harmless(str(unexpected)))
            talk.line("The toy host is gone again; nothing else was touched.")
            return FAILED
        except signals.Interrupted:
            talk.line("Interrupted. The toy host is gone; nothing is left behind.")
            return INTERRUPTED
    for line in summary.lines(Style(color and out.isatty())):
        print(line, file=out)
    out.flush()
    return DONE


def needed(path: str) -> Mapping[str, str]:
    """Package to its program's path. Raises Missing."""
    found = {}
    for package, names in NEEDS.items():
        program = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
        if program is None:
            raise Missing(
                f"mailseal demo seals with the real {names[0]}, and there is none here: install "
                f"the package {package} (sudo apt-get install {package}), then run it again."
            )
        found[package] = program
    return found


def place() -> str:
    """Where the toy host's files can lie: the path of a Unix socket has at most 107 octets, and as
    root, stunnel's own user must come through (a TMPDIR may be private).
    """
    usual = tempfile.gettempdir()
    return next(filter(_fits, (usual, "/tmp", "/run")), usual)


def _fits(directory: str) -> bool:
    path = Path(directory)
    if len(directory) > 50 or not os.access(directory, os.W_OK | os.X_OK):
        return False
    return os.geteuid() != 0 or all(each.stat().st_mode & 1 for each in (path, *path.parents))


class _Talk:
    """What is said while it works."""

    def __init__(self, stream: TextIO, style: Style) -> None:
        self._stream = stream
        self._step = 0
        self.style = style

    def line(self, text: str = "") -> None:
        print(text, file=self._stream, flush=True)

    def step(self, title: str) -> None:
        self._step += 1
        self.line()
        self.line(self.style.paint(f"{self._step}. {title}", "bold"))

    def say(self, text: str, how: str = "") -> None:
        text = harmless(text)
        self.line("   " + (self.style.paint(text, how) if how else text))

    def tell(self, text: str) -> None:
        """A line of mailseal's own progress. Proofs are shown in a step of their own."""
        if not text.startswith(_LEFT_OUT):
            self.say("| " + text, "dim")

    def report(self, lines: Iterable[str]) -> None:
        """Lines of one of mailseal's reports."""
        for line in lines:
            long = len(line) > WIDTH and "\x1b" not in line
            for part in textwrap.wrap(line, WIDTH, subsequent_indent=_HANG) if long else [line]:
                self.line("   " + part)

    def proofs(self, made: Iterable[Proof]) -> None:
        """Each with what it rests on below it."""
        for proof in made:
            claim, good = proof.claim, proof.result is Result.PASS
            head = f"{proof.result.value}  {claim.kind.value} at {claim.endpoint}"
            self.say(head, "green" if good else "red")
            for line in textwrap.wrap("; ".join(proof.evidence), WIDTH - 6):
                self.say("      " + line, "dim")


_LEFT_OUT = (*(result.value + ":" for result in Result), "nothing to do")
_HANG = " " * 18


# -- the host, as the workflows know it ------------------------------------------------------------


class TheHost:
    """Implements `workflow.hosts.Host` for a toy host, looked at from `client`. `remote` says
    whether that is another host.
    """

    names: tuple[str, ...] = (NAME,)

    def __init__(self, toy: ToyHost, remote: bool, own: Observe, client: Observe) -> None:
        self._toy = toy
        self.remote = remote
        self._own = {Vantage.SELF: own}
        self._both = {Vantage.SELF: own, Vantage.REMOTE: client}

    def facts(self, ports: Sequence[int], paths: Sequence[str] = ()) -> HostFacts:
        return gather(self._toy, tuple(ports), tuple(paths))

    def local(self, ports: Sequence[int], every: bool) -> LocalHost:
        return local.gather(self._toy, ports, every)

    def look(self, question: Question) -> Observation:
        return self._own[Vantage.SELF](question)

    @contextlib.contextmanager
    def _tools(self, tell: Tell, lookers: Mapping[Vantage, Observe]) -> Iterator[executor.Tools]:
        """The agent's, but a signal ends the demo and not a run: the whole host goes."""
        with agent.local_tools(self._toy, tell, lookers) as tools:
            yield replace(tools, stoppable=executor.unstoppable)

    def apply(self, payload: bytes, hold: float, tell: Tell, given: Control) -> Receipt:
        with self._tools(tell, self._own) as tools:
            return executor.apply(payload, tools, hold, given)

    def confirm(self, run: str, by: str, proofs: Sequence[Proof]) -> Receipt:
        with self._tools(_silent, {}) as tools:
            return executor.confirm(agent.run_directory(self._toy, run), tools, proofs, by)

    def rollback(self, run: str, force: bool, tell: Tell) -> Receipt:
        with self._tools(tell, self._both) as tools:
            directory = agent.run_directory(self._toy, run)
            reason = "rollback was asked for"
            return executor.rollback_locked(directory, tools, reason, force=force)

    def recover(self, directory: str) -> None:
        """What the dead-man calls."""
        with self._tools(_silent, self._own) as tools:
            executor.recover(directory, tools)

    def receipts(self) -> tuple[Receipt, ...]:
        return agent.receipts(self._toy)

    def changes(self) -> ChangeHistory:
        return changes.history(self._toy)

    def policy(self) -> bytes | None:
        return control.policy_text(self._toy)

    @contextlib.contextmanager
    def prove_from_here(self) -> Iterator[Prove]:
        yield prover(self._both, self._toy.read, self._toy)


def _silent(line: str) -> None:
    pass


# -- what is shown at the end ----------------------------------------------------------------------


@dataclass
class Summary:
    """One row a phase: its name, a verdict for each address, what the eavesdropper could read."""

    stunnel: str
    missing: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    rows: list[tuple[str, list[Assessment], str]] = field(default_factory=list)
    seconds: float = 0.0

    def lines(self, style: Style) -> Iterator[str]:
        yield ""
        title = "mailseal demo: found, proven, sealed, verified and rolled back in %.0f s"
        yield style.paint(title % self.seconds, "bold")
        yield ""
        cells = [(name, *map(_verdict, found), heard) for name, found, heard in self.rows]
        header = ("", *self.addresses, "an eavesdropper reads")
        for line in table(header, cells, style):
            yield "  " + line
        yield ""
        yield f"A toy host, sealed with the real stunnel {self.stunnel}; its service manager is the"
        yield "demo's own. Nothing of this machine was changed, and nothing is left behind."
        if self.missing:
            yield ""
            yield style.paint("Not shown here:", "yellow")
            yield from ("  - " + harmless(each) for each in self.missing)
        yield ""
        yield "On a real host:"
        yield "  mailseal scan mail.example:109      who takes a password in cleartext?"
        yield "  mailseal seal ssh://mailhost        plan, show, ask, apply, prove"
        yield "  mailseal rollback                   back to before, proven too"


def _verdict(assessment: Assessment) -> str:
    grade = f" ({assessment.grade.value})" if assessment.grade else ""
    return assessment.verdict.value + grade


# -- the story -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """What crossed the wire: the frames as they were, and each direction's octets in order."""

    frames: tuple[bytes, ...]

    @property
    def octets(self) -> int:
        return sum(map(len, self.frames))

    def has(self, text: str) -> bool:
        """Whether it stands anywhere: within a frame, or across frames once they are in order."""
        pieces = (*self.frames, *eavesdrop.streams(self.frames).values())
        return any(text.encode() in piece for piece in pieces)


class _Story:
    """Everything that is started hangs on `stack`."""

    def __init__(self, stack: contextlib.ExitStack, talk: _Talk, stunnel: str) -> None:
        self._began = time.monotonic()
        self._talk = talk
        self._live = signals.Machine()
        self._password = "secret-" + secrets.token_hex(4)
        with signals.hold():
            directory = tempfile.TemporaryDirectory(prefix="mailseal-demo-", dir=place())
            self._directory = Path(stack.enter_context(directory))
        self._stage: Stage = stack.enter_context(stage(self._live))
        self._children = Children()
        stack.callback(self._children.close)
        self._toy = stack.enter_context(
            toy_host(
                self._directory,
                self._stage,
                self._password,
                stunnel,
                lambda run: self._host.recover(run),
            )
        )
        self._bundle = self._directory / "mailseal.pyz"
        self._bundle.write_bytes(bundle.build())
        self._host = TheHost(
            self._toy,
            self._stage.wire is not None,
            self._looker(self._stage.host),
            self._looker(self._stage.client),
        )
        self._summary = Summary(self._toy.stunnel_version, self._stage.missing)
        self._summary.addresses = tuple(map(str, self._endpoints()))

    def tell(self) -> Summary:
        """The story. Raises Unexpected where it does not go as it is told."""
        self._opening()
        self._service_comes_up()
        first = self._scan("before", Verdict.EXPOSED)
        self._summary.rows[-1] = (*self._summary.rows[-1][:2], self._login_in_the_clear())
        before = self._snapshot()
        made = self._plan()
        sealed, receipt = self._seal(made)
        self._show_proofs(sealed)
        self._scan("sealed", Verdict.REFUSED)
        self._summary.rows[-1] = (*self._summary.rows[-1][:2], self._login_inside_tls())
        self._rollback(receipt)
        again = self._scan("after rollback", Verdict.EXPOSED)
        self._as_before(before, first, again)
        self._summary.rows[-1] = (*self._summary.rows[-1][:2], self._login_as_before())
        self._summary.seconds = time.monotonic() - self._began
        return self._summary

    # -- the steps -------------------------------------------------------------------------------

    def _opening(self) -> None:
        talk = self._talk
        talk.line(talk.style.paint("mailseal demo", "bold"))
        talk.say(f"A toy host with the real stunnel {self._summary.stunnel}, planned for, changed")
        talk.say("and proven by the code that does so on real hosts. This machine is not changed.")
        for each in self._stage.missing:
            talk.say("Not shown: " + each, "yellow")

    def _service_comes_up(self) -> None:
        self._talk.step("A legacy POP2 service comes up")
        done = self._toy.run(["systemctl", "start", "--", "inetd.service"])
        if not done.ok:
            raise Unexpected("inetd does not start: " + done.words())
        where = ", ".join(self._summary.addresses)
        self._talk.say(f"{NAME} serves {where}, started by inetd as it always was")

    def _scan(self, phase: str, wanted: Verdict) -> list[Observation]:
        endpoints = self._endpoints()
        with ThreadPoolExecutor(len(endpoints)) as pool:
            seen = list(pool.map(self._look_from_client, endpoints))
        found = [assess([each]) for each in seen]
        self._talk.step(f"mailseal looks from {', '.join(self._stage.here)}: {_TITLES[phase]}")
        for each in found:
            colour = "red" if each.verdict is Verdict.EXPOSED else "green"
            self._talk.say(f"{each.endpoint}  {_verdict(each).upper()}", colour)
            for reason in each.reasons:
                self._talk.say("  " + reason)
        if any(each.verdict is not wanted for each in found):
            raise Unexpected(f"{phase}: not every address is {wanted.value}")
        self._summary.rows.append((phase, found, ""))
        return seen

    def _plan(self) -> Plan:
        self._talk.step("The plan (made from the host's facts; nothing is changed yet)")
        wish = plans.Wish(self._stage.port, Options(name=NAME))
        made, _ = plans.make(self._host, wish)
        # The new files are many lines: named here, shown in full by `mailseal plan`.
        brief = [replace(op, content=b"") if isinstance(op, WriteFile) else op for op in made.ops]
        edited = {op.path: self._toy.read(op.path) for op in made.ops if isinstance(op, EditFile)}
        shown = replace(made, ops=tuple(brief))
        self._talk.report(plan_report.plan(shown, edited, self._talk.style))
        return made

    def _seal(self, made: Plan) -> tuple[seal.Sealed, Receipt]:
        self._talk.step("Sealing: each step journaled, the dead-man armed")
        talk = seal.Talk(show=lambda plan: None, ask=lambda words: True, tell=self._talk.tell)
        sealed = seal.seal(self._host, made, talk)
        receipt = sealed.receipt
        if receipt is None or receipt.state is not RunState.COMMITTED:
            raise Unexpected("not sealed: " + (receipt.reason if receipt else "nothing was done"))
        self._talk.say(receipt.reason, "green")
        return sealed, receipt

    def _show_proofs(self, sealed: seal.Sealed) -> None:
        self._talk.step("The proof, over fresh connections")
        # What only the host itself can tell stands in the receipt.
        own = sealed.receipt.proofs if sealed.receipt else ()
        latest = {(each.claim.kind, each.claim.endpoint): each for each in (*own, *sealed.proofs)}
        self._talk.proofs(latest.values())
        if any(proof.result is not Result.PASS for proof in latest.values()):
            raise Unexpected("not every claim of the plan holds")

    def _rollback(self, receipt: Receipt) -> None:
        self._talk.step("Rollback, from the journal")
        undone = self._host.rollback(receipt.run, False, self._talk.tell)
        if undone.state is not RunState.UNDONE:
            raise Unexpected("not rolled back: " + undone.reason)
        served = [each for each in undone.proofs if each.claim.kind is ClaimKind.CLEARTEXT_SERVED]
        self._talk.proofs(served)

    def _as_before(
        self,
        before: Mapping[str, object],
        first: Sequence[Observation],
        again: Sequence[Observation],
    ) -> None:
        after = self._snapshot()
        different = sorted(
            path for path in {*before, *after} if before.get(path) != after.get(path)
        )
        if different:
            raise Unexpected("not as before: " + ", ".join(different))
        if [each.transcript for each in first] != [each.transcript for each in again]:
            raise Unexpected("the service does not say what it said before")
        self._talk.say(f"{len(after)} files and directories: bytes, owner, mode, time as before")
        self._talk.say("the same sockets, the same dialogue, byte for byte", "green")
        self._talk.say("(what stays: the journal of the run, below /var/lib/mailseal)")

    # -- logins and who hears them ---------------------------------------------------------------

    def _in_between(self) -> str:
        return "; the eavesdropper listens on the wire between" if self._stage.wire else ""

    def _login_in_the_clear(self) -> str:
        self._talk.step("A user fetches mail" + self._in_between())
        heard = self._login("")
        if heard is None:
            return _NOBODY
        for line in self._readable(heard):
            self._talk.say("wire> " + line, "red")
        self._talk.say("The password is masked here. On the wire it is readable: all of its")
        self._talk.say(f"{len(self._password)} characters were found in the capture.")
        return self._all_of_it(heard)

    def _login_inside_tls(self) -> str:
        self._talk.step("The same user, now inside TLS" + self._in_between())
        heard = self._login(self._toy.real("/etc/mailseal/ca.crt"))
        if heard is None:
            return _NOBODY
        words = (USER, self._password, "HELO", "Subject:")
        found = [word for word in words if heard.has(word)]
        if found or not heard.has("\x16\x03"):
            raise Unexpected("the capture of the TLS login is readable, or is none")
        self._talk.say(
            f"wire> {len(heard.frames)} frames, {heard.octets} octets: no user name, no password, "
            "no command, no mail",
            "green",
        )
        return f"nothing, of {heard.octets} octets"

    def _login_as_before(self) -> str:
        heard = self._login("")
        return _NOBODY if heard is None else self._all_of_it(heard)

    def _all_of_it(self, heard: Heard) -> str:
        if not all(heard.has(word) for word in (USER, self._password, "Subject:")):
            raise Unexpected("the eavesdropper did not hear the login: the capture is no witness")
        return "user, password, mail"

    def _readable(self, heard: Heard) -> Iterator[str]:
        """The client's lines and the mail, as they crossed; the password masked."""
        for flow, octets in eavesdrop.streams(heard.frames).items():
            side = "C" if flow.target_port == self._stage.port else "S"
            for line in octets.decode("latin-1").split("\r\n"):
                if side == "C" or line.startswith("Subject:"):
                    masked = line.replace(self._password, "*" * len(self._password))
                    if masked:
                        yield f"{side}: {masked}"

    def _login(self, authority: str) -> Heard | None:
        """A real login and a message, from the client, at the first address; inside TLS with an
        authority. What was heard of it, None where nobody can listen.
        """
        endpoint = self._endpoints()[0]
        order = mailprogram.Order(
            endpoint.address, endpoint.port, USER, self._password, authority, NAME
        )
        with self._listening() as frames:
            done = self._live.run(
                [*self._stage.client, *module("mailprogram")],
                data=codec.dumps(order).encode("ascii"),
                env={"PYTHONPATH": environment()["PYTHONPATH"]},
            )
        if not done.ok:
            raise Unexpected("the mail program failed: " + done.words())
        mail = codec.loads(mailprogram.Mail, done.out, lenient=False)
        if mail.problem or not mail.message or bool(mail.tls) is not bool(authority):
            raise Unexpected("the mail program could not fetch: " + mail.problem)
        channel = f"inside {mail.tls}" if mail.tls else "in cleartext"
        self._talk.say(f"logged in {channel}, fetched {len(mail.message)} octets of mail")
        return None if self._stage.wire is None else Heard(tuple(frames))

    @contextlib.contextmanager
    def _listening(self) -> Iterator[list[bytes]]:
        """The frames that cross the wire meanwhile; they are there when the `with` is over."""
        frames: list[bytes] = []
        if self._stage.wire is None:
            yield frames
            return
        path = self._directory / "capture"
        log = self._directory / "eavesdrop.log"
        argv = module("eavesdrop", TAP, str(path))
        process = self._children.start(argv, log, self._stage.wire, say=True)
        try:
            yield frames
        finally:
            self._children.stop(process)
        frames += eavesdrop.frames(path.read_bytes())

    # -- looks -----------------------------------------------------------------------------------

    def _endpoints(self) -> list[Endpoint]:
        return [Endpoint(address, self._stage.port) for address in self._stage.addresses]

    def _look_from_client(self, endpoint: Endpoint) -> Observation:
        vantage = Vantage.REMOTE if self._stage.wire is not None else Vantage.SELF
        authority = "/etc/mailseal/ca.crt"
        given = authority if self._toy.stat(authority) else ""
        question = Question(endpoint, vantage, name=NAME, authority=given, eager=True)
        return self._looker(self._stage.client)(question)

    def _looker(self, prefix: tuple[str, ...]) -> Observe:
        """A look as a process of its own. The CA's certificate is handed to it as a copy would be
        to a client: by its real path.
        """
        look = agent.looker(self._live, prefix, str(self._bundle))

        def observe(question: Question) -> Observation:
            authority = self._toy.real(question.authority)
            limits = Limits().scaled(PATIENCE)
            return look(replace(question, authority=authority, limits=limits))

        return observe

    # -- before and after ------------------------------------------------------------------------

    def _snapshot(self) -> Mapping[str, object]:
        """Every file, link and directory of the toy host, and its sockets."""
        root = self._directory / toyhost.ROOT
        found: dict[str, object] = {
            f"socket {each.address}:{each.port}": (each.unit, each.pid)
            for each in self._toy.listeners()
            if each.unit
        }
        for path in sorted(root.rglob("*")):
            name = "/" + str(path.relative_to(root))
            if not name.startswith(toyhost.UNTRACED):
                found[name] = _entry(path)
        return found


_TITLES = {
    "before": "a password in cleartext?",
    "sealed": "and now?",
    "after rollback": "the old service is back",
}
_NOBODY = "not shown"


def _entry(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    base = (status.st_mode, status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return (*base, os.readlink(path))
    if stat.S_ISREG(status.st_mode):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return (*base, status.st_mtime_ns, digest)
    return base
