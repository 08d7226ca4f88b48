"""The host that is changed, near or far: the same verbs for both.

`Here` calls the agent's functions in this process. `Carried` brings the agent to another host as
one file and calls it there: `OverSsh` with looks taken from *here*, which is the honest vantage.
(`copies.InCopy` is another.)
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, Self

from mailseal import agent, bundle
from mailseal.apply import changes, control, executor
from mailseal.apply.executor import Refused
from mailseal.facts import local
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.change import Actor, ChangeHistory, Control, PolicyText
from mailseal.model.host import HostFacts
from mailseal.model.local import LocalHost
from mailseal.model.look import Endpoint, Observation, Vantage
from mailseal.model.plan import Proof, Receipt
from mailseal.probe import blocking
from mailseal.probe.look import Observe, Question
from mailseal.prove import Prove, prover, reloading
from mailseal.system import account, ssh
from mailseal.system.base import Completed, System
from mailseal.system.copyplace import Place
from mailseal.system.live import LiveSystem

Tell = Callable[[str], None]

SECONDS = 600.0
"""How long a program there may take."""


class HostUnreachable(Exception):
    """The host could not be asked. `str()` says what ssh said, and what to do."""


class Host(Protocol):
    """A mail host. Every verb may raise Refused (nothing was changed) or HostUnreachable."""

    remote: bool
    names: tuple[str, ...]

    def facts(self, ports: Sequence[int], paths: Sequence[str] = ()) -> HostFacts: ...

    def local(self, ports: Sequence[int], every: bool) -> LocalHost:
        """What it exposes on the ports of mail and these, or by `every` listener."""
        ...

    def look(self, question: Question) -> Observation:
        """A look from the host itself."""
        ...

    def apply(self, payload: bytes, hold: float, tell: Tell, given: Control) -> Receipt: ...

    def confirm(self, run: str, by: str, proofs: Sequence[Proof]) -> Receipt: ...

    def rollback(self, run: str, force: bool, tell: Tell) -> Receipt: ...

    def receipts(self) -> tuple[Receipt, ...]: ...

    def changes(self) -> ChangeHistory:
        """The record of all changes, judged."""
        ...

    def policy(self) -> bytes | None:
        """The file of its change control; None where it has none."""
        ...

    def prove_from_here(self) -> contextlib.AbstractContextManager[Prove]:
        """A prover for claims about this host, with the vantage that we have."""
        ...


class Verifiable(Host, Protocol):
    """What verifying asks of a mail host besides."""

    def certificate(self, path: str) -> bytes:
        """A public certificate there. Raises OSError where it cannot be read."""
        ...

    def reload(self, unit: str) -> str:
        """Has the service manager reload a unit; what was said against it, or nothing."""
        ...


class Here:
    """This host. `actor` is who asks."""

    remote = False
    names: tuple[str, ...] = ()

    def __init__(self, system: System | None = None, actor: Actor | None = None) -> None:
        self._system = system or LiveSystem()
        self._actor = actor or account.who()

    def facts(self, ports: Sequence[int], paths: Sequence[str] = ()) -> HostFacts:
        return gather(self._system, tuple(ports), tuple(paths))

    def local(self, ports: Sequence[int], every: bool) -> LocalHost:
        return local.gather(self._system, ports, every)

    def look(self, question: Question) -> Observation:
        return blocking.observe(question)

    def certificate(self, path: str) -> bytes:
        return self._system.read(path)

    def reload(self, unit: str) -> str:
        return reloading.reload(self._system, unit)

    def apply(self, payload: bytes, hold: float, tell: Tell, given: Control) -> Receipt:
        with agent.local_tools(self._system, tell, None, self._actor) as tools:
            return executor.apply(payload, tools, hold, given)

    def confirm(self, run: str, by: str, proofs: Sequence[Proof]) -> Receipt:
        with agent.local_tools(self._system, silent, {}, self._actor) as tools:
            directory = agent.run_directory(self._system, run)
            return executor.confirm(directory, tools, proofs, by)

    def rollback(self, run: str, force: bool, tell: Tell) -> Receipt:
        with agent.local_tools(self._system, tell, None, self._actor) as tools:
            directory = agent.run_directory(self._system, run)
            reason = "rollback was asked for"
            return executor.rollback_locked(directory, tools, reason, force=force)

    def receipts(self) -> tuple[Receipt, ...]:
        return agent.receipts(self._system)

    def changes(self) -> ChangeHistory:
        return changes.history(self._system)

    def policy(self) -> bytes | None:
        return control.policy_text(self._system)

    @contextlib.contextmanager
    def prove_from_here(self) -> Iterator[Prove]:
        with contextlib.ExitStack() as stack:
            lookers, sources = agent.own_lookers(self._system, stack)
            yield prover(lookers, self._system.read, self._system, sources=sources)


class Carried(abc.ABC):
    """A host that the agent is carried to. Use it in a `with`: the agent is taken away again.
    `name` is for messages; `actor` is who asks, here.
    """

    remote = True
    scratch: str | None = None
    """Where public certificates are put meanwhile; None for the usual place."""

    def __init__(self, name: str, tell: Tell, actor: Actor | None = None) -> None:
        self._actor = "actor=" + codec.dumps(actor or account.who())
        self._name = name
        self.names: tuple[str, ...] = (name,)
        self._tell = tell
        self._directory = ""
        self._sudo: tuple[str, ...] = ()
        self._python: tuple[str, ...] = ()
        self._taken: dict[str, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        data = bundle.build()
        done = self._run(["sh", "-c", _ARRIVE, "%d" % len(data)], data=data)
        words = done.out.decode("utf-8", "replace").split()
        if not done.ok or len(words) != 2:
            raise HostUnreachable(self._arrival(done))
        self._directory, uid = words
        self._sudo = () if uid == "0" else ("sudo", "-n")
        self._python = ("python3", "-I", self._directory + "/mailseal.pyz")
        return self

    def __exit__(self, *exception: object) -> None:
        self._run(["rm", "-rf", "--", self._directory])

    @abc.abstractmethod
    def _run(self, argv: Sequence[str], data: bytes = b"", tell: Tell | None = None) -> Completed:
        """Runs a program there to its end."""

    def _observe(self, question: Question) -> Observation:
        """A look at it from outside. The question's authority is a file of this machine's."""
        return blocking.observe(question)

    def _source(self, endpoint: Endpoint) -> str:
        """Where `_observe` looks from; empty where that is not known."""
        return blocking.source(endpoint)

    def _arrival(self, done: Completed) -> str:
        words = "the agent cannot be put on %s: %s (python3, 3.9 or newer, and /tmp are needed)"
        return words % (self._name, done.words())

    def _agent(
        self,
        words: Sequence[str],
        data: bytes = b"",
        tell: Tell | None = None,
        before: Sequence[str] = (),
    ) -> Completed:
        command = [*self._sudo, *before, *self._python, *words]
        return self._checked(self._run(command, data, tell))

    def _checked(self, done: Completed) -> Completed:
        """What the agent said. Raises Refused and HostUnreachable where that is all."""
        said = [line for line in done.err.decode("utf-8", "replace").splitlines() if line]
        if done.code == agent.REFUSED:
            raise Refused(said)
        if not done.out.strip() and done.code:
            raise HostUnreachable(
                "the agent on %s failed (exit status %d): %s"
                % (self._name, done.code, said[-1] if said else "it said nothing")
            )
        return done

    def facts(self, ports: Sequence[int], paths: Sequence[str] = ()) -> HostFacts:
        done = self._agent(["facts", *map(str, ports), *paths])
        return codec.loads(HostFacts, done.out, lenient=True)

    def local(self, ports: Sequence[int], every: bool) -> LocalHost:
        done = self._agent(["local", *(["all"] if every else []), *map(str, ports)])
        return codec.loads(LocalHost, done.out, lenient=True)

    def look(self, question: Question, before: Sequence[str] = ()) -> Observation:
        """A look from there; the words `before` come before the command that takes it. The
        question's authority is a file of this machine's.
        """
        asked = dataclasses.replace(question, authority=self._there(question.authority))
        done = self._agent(["look"], codec.dumps(asked).encode("ascii"), before=before)
        return codec.loads(Observation, done.out, lenient=True)

    def _there(self, path: str) -> str:
        """A copy of a public file of ours in the agent's directory there."""
        with self._lock:
            if path and path not in self._taken:
                copy = "%s/%d.pem" % (self._directory, len(self._taken))
                with open(path, "rb") as file:
                    done = self._run(["sh", "-c", 'cat >"$0"', copy], file.read())
                if not done.ok:
                    words = "%s cannot be put on %s: %s"
                    raise HostUnreachable(words % (path, self._name, done.words()))
                self._taken[path] = copy
        return self._taken.get(path, "")

    def certificate(self, path: str) -> bytes:
        try:
            return self._agent(["certificate", path]).out
        except (HostUnreachable, Refused) as error:
            raise OSError("%s of %s: %s" % (path, self._name, error)) from None

    def reload(self, unit: str) -> str:
        return self._agent(["reload", unit]).out.decode("utf-8", "replace").strip()

    def apply(self, payload: bytes, hold: float, tell: Tell, given: Control) -> Receipt:
        # No JSON holds a NUL.
        data = payload + b"\0" + codec.dumps(given).encode("ascii")
        return self._receipt(["apply", "%d" % hold], data, tell)

    def confirm(self, run: str, by: str, proofs: Sequence[Proof]) -> Receipt:
        lines = "\n".join(codec.dumps(proof) for proof in proofs)
        return self._receipt(["confirm", run, by], lines.encode("ascii"))

    def rollback(self, run: str, force: bool, tell: Tell) -> Receipt:
        return self._receipt(["rollback", run, *(["force"] if force else [])], b"", tell)

    def _receipt(self, words: Sequence[str], data: bytes, tell: Tell | None = None) -> Receipt:
        done = self._agent([*words, self._actor], data, tell)
        return codec.loads(Receipt, done.out, lenient=True)

    def receipts(self) -> tuple[Receipt, ...]:
        lines = self._agent(["runs"]).out.splitlines()
        return tuple(codec.loads(Receipt, line, lenient=True) for line in lines)

    def changes(self) -> ChangeHistory:
        return codec.loads(ChangeHistory, self._agent(["changes"]).out, lenient=True)

    def policy(self) -> bytes | None:
        return codec.loads(PolicyText, self._agent(["policy"]).out, lenient=True).text

    @contextlib.contextmanager
    def prove_from_here(self) -> Iterator[Prove]:
        """Looks from this machine; the host's public certificates are fetched to check against."""
        with tempfile.TemporaryDirectory(prefix="mailseal-", dir=self.scratch) as directory:
            fetched: dict[str, str] = {}
            lock = threading.Lock()

            def read(path: str) -> bytes:
                return self._agent(["certificate", path]).out

            def local(path: str) -> str:
                with lock:
                    if path and path not in fetched:
                        copy = "%s/%d.pem" % (directory, len(fetched))
                        with open(copy, "wb") as file:
                            file.write(read(path))
                        fetched[path] = copy
                return fetched.get(path, "")

            def observe(question: Question) -> Observation:
                asked = dataclasses.replace(question, authority=local(question.authority))
                return self._observe(asked)

            lookers: Mapping[Vantage, Observe] = {Vantage.REMOTE: observe}
            yield prover(lookers, read, None, sources={Vantage.REMOTE: self._source})


_CONNECTIONS = 4
"""At once: sshd turns away who comes with many that have not logged in yet (MaxStartups,
sshd_config(5)).
"""


class OverSsh(Carried):
    """A host at the other end of `ssh`."""

    def __init__(self, target: str, tell: Tell, actor: Actor | None = None) -> None:
        self.address = ssh.parse(target)
        self._connections = threading.Semaphore(_CONNECTIONS)
        super().__init__(self.address.host, tell, actor)

    def _run(self, argv: Sequence[str], data: bytes = b"", tell: Tell | None = None) -> Completed:
        with self._connections:
            return ssh.run(self.address, argv, data=data, timeout=SECONDS, tell=tell or silent)

    def as_root(
        self, argv: Sequence[str], data: bytes = b"", tell: Tell | None = None
    ) -> Completed:
        """Runs a program there to its end."""
        return self._run([*self._sudo, *argv], data, tell)

    @contextlib.contextmanager
    def copied(self, wanted: Sequence[str]) -> Iterator[Place]:
        """A throwaway copy of that host, with these packages fetched into it. It goes with the
        `with`, with this process and with the connection. Raises Refused, HostUnreachable.
        """
        command = [*self._sudo, *self._python, "copy", self._directory, *wanted]
        with ssh.hold(self.address, command, self._tell, *agent.COPY_SECONDS) as done:
            yield codec.loads(Place, self._checked(done).out, lenient=True)

    def _arrival(self, done: Completed) -> str:
        if done.code == 255:
            return "%s cannot be reached by ssh: %s" % (self._name, done.words())
        return super()._arrival(done)


_ARRIVE = (
    'umask 077; d=$(mktemp -d /tmp/mailseal-XXXXXXXX) && cat >"$d/mailseal.pyz" '
    '&& test "$(wc -c <"$d/mailseal.pyz")" -eq "$0" && command -v python3 >/dev/null '
    '&& echo "$d" "$(id -u)" || { rm -rf "$d"; exit 1; }'
)
"""Puts the agent into a fresh directory that only its owner can enter, and says where; nothing
stays of half an agent. $0 is its length.
"""


def silent(line: str) -> None:
    pass


def host(target: str | None, tell: Tell) -> contextlib.AbstractContextManager[Verifiable]:
    """The host of a target, for a `with`: `ssh://...`, else this one. Raises ValueError, and
    HostUnreachable in the `with`.
    """
    if target is not None and target.startswith("ssh://"):
        return OverSsh(target, tell)
    return contextlib.nullcontext(Here())
