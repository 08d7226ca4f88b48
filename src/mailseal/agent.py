"""The agent: what runs on the mail host, and looks from wherever it is put.

On one machine the controller calls these functions in its own process; over SSH it carries
`mailseal.pyz` there and calls them as commands, one JSON record out each, progress on standard
error. The executor that a run keeps for itself is this same file.

    facts [PORT...] [PATH...]             HostFacts out
    local [all] [PORT...]                 LocalHost out
    look                                  Question on standard input, Observation out
    reload UNIT                           what was said against it, or nothing
    apply SECONDS                         plan on standard input, Receipt out; held for SECONDS;
                                          behind a NUL a Control: approvals and policies
    confirm RUN BY                        proofs on standard input, one a line; Receipt out
    rollback RUN [force]                  Receipt out (RUN `last`: the last that can be undone)
    recover DIRECTORY [watch]             what the dead-man calls; `watch` waits until it is due
    runs                                  Receipts out, one a line
    changes                               ChangeHistory out
    policy                                PolicyText out, of this host's change control
    certificate PATH                      a public certificate that a plan names
    copy DIRECTORY [PACKAGE...]           a throwaway copy of this host with these packages: its
                                          Place out; it is there until standard input ends, and
                                          DIRECTORY, the agent's own, goes with it

A word `actor=ACTOR` says who asks, where that is another than the account here.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import signal
import sys
import threading
import traceback
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from mailseal import bundle
from mailseal.apply import changes, control, deadman, executor
from mailseal.apply.executor import Refused, Shield, Stopped, Tools
from mailseal.apply.journal import Journal, JournalDamaged
from mailseal.apply.preflight import Questions
from mailseal.apply.trial import Greets
from mailseal.facts import local
from mailseal.facts.gather import gather
from mailseal.facts.scope import digest
from mailseal.model import codec
from mailseal.model.change import Actor, Control, PolicyText
from mailseal.model.look import Endpoint, Observation, Vantage
from mailseal.model.ops import CopyFile, TryTerminator
from mailseal.model.plan import Plan, Proof, Receipt, RunState
from mailseal.probe import asked, blocking, certificate
from mailseal.probe.asked import blind
from mailseal.probe.look import Observe, Question
from mailseal.prove import Source, prover
from mailseal.prove.reloading import reload
from mailseal.system import account, hold, hostcopy
from mailseal.system.base import Meta, System
from mailseal.system.live import LiveSystem
from mailseal.system.netns import ThrowawayNamespace

EXIT = {
    RunState.COMMITTED: 0,
    RunState.HELD: 0,
    RunState.UNDONE: 4,
    RunState.UNDO_FAILED: 5,
}
"""Exit codes by a run's state (DESIGN.md); a rollback that was asked for is a success."""

REFUSED, USAGE, FAULT = 6, 2, 70


# -- the parts, joined -----------------------------------------------------------------------------


@contextlib.contextmanager
def local_tools(
    system: System,
    tell: Callable[[str], None],
    lookers: Optional[Mapping[Vantage, Observe]] = None,
    actor: Optional[Actor] = None,
) -> Iterator[Tools]:
    """What the executor needs on this host. `lookers`: other vantages than the host's own two.
    `actor`: who asks, None where nobody does.
    """
    with contextlib.ExitStack() as stack:
        at_hand, sources = own_lookers(system, stack) if lookers is None else (dict(lookers), {})
        yield Tools(
            system=system,
            prove=prover(at_hand, system.read, system, sources=sources),
            greets=greeting(at_hand.get(Vantage.SELF, blocking.observe)),
            questions=Questions(
                facts_digest=lambda plan: digest(
                    gather(system, plan.scope.ports, plan.scope.paths), plan.scope
                ),
                certificate=certificate_problems,
            ),
            bundle=bundle.build,
            python=python(),
            tell=tell,
            stoppable=signals,
            actor=actor,
        )


SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def signals() -> Iterator[Shield]:
    """See `Tools.stoppable`: the first of SIGNALS stops, from then on all are ignored until the end
    of the context. Of the main thread alone; others are not sent signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def shield() -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)

    def stop(number: int, frame: object) -> None:
        shield()
        raise Stopped("stopped by %s" % signal.Signals(number).name)

    before = {each: signal.signal(each, stop) for each in SIGNALS}
    try:
        yield shield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def own_lookers(
    system: System, stack: contextlib.ExitStack
) -> Tuple[Dict[Vantage, Observe], Dict[Vantage, Source]]:
    """The vantages of the host itself: its own address, and a throwaway namespace; and where the
    looks come from.
    """
    veth, source = veth_looker(system, stack)
    lookers = {Vantage.SELF: blocking.observe, Vantage.VETH: veth}
    return lookers, {Vantage.SELF: blocking.source, Vantage.VETH: source}


def veth_looker(system: System, stack: contextlib.ExitStack) -> Tuple[Observe, Source]:
    """A look from a throwaway network namespace of this host, made now; gone with `stack`. Where
    it cannot be made every look says so: it saw nothing.
    """
    path = "/run/mailseal-look-%d.pyz" % os.getpid()
    try:
        namespace = stack.enter_context(ThrowawayNamespace(system))
        system.write(path, bundle.build(), Meta(0o600, 0, 0))
        stack.callback(system.remove, path)
    except OSError as error:
        reason = "no throwaway network namespace here: %s" % error
        return (lambda question: blind(question, reason)), (lambda endpoint: "")

    def source(endpoint: Endpoint) -> str:
        return namespace.ipv6 if ":" in endpoint.address else namespace.ipv4

    return looker(system, namespace.exec_prefix, path), source


def looker(system: System, prefix: Sequence[str], path: str) -> Observe:
    """Looks taken by the bundle at `path`, as a process of its own behind `prefix`."""

    def observe(question: Question) -> Observation:
        argv = [*prefix, python(), "-I", path, "look"]
        done = system.run(argv, data=codec.dumps(question).encode("ascii"), timeout=300)
        if not done.ok:
            return blind(question, "the look from there failed: " + done.words())
        return codec.loads(Observation, done.out, lenient=True)

    return observe


def greeting(observe: Observe) -> Greets:
    """See `apply.trial.Greets`; with a look of the host itself."""

    def greets(address: str, port: int, name: str, authority: str, protocol: str) -> Optional[str]:
        endpoint = Endpoint(address, port)
        question = Question(endpoint, Vantage.SELF, name, authority, implicit=True)
        seen = observe(question)
        if seen.tls is None:
            return "; ".join(seen.gaps) or "no TLS"
        if seen.tls.trust:
            return "the certificate does not verify: " + seen.tls.trust
        if seen.protocol != protocol:
            return "the service does not greet: " + ("; ".join(seen.gaps) or str(seen.protocol))
        return None

    return greets


def certificate_problems(plan: Plan) -> List[str]:
    """What is wrong with the certificate that the plan was given; empty where it was given none."""
    copies = [op for op in plan.ops if isinstance(op, CopyFile)]
    sources = {posixpath.splitext(op.path)[1]: op.source for op in copies}
    trial = next((op for op in plan.ops if isinstance(op, TryTerminator)), None)
    if trial is None or not sources:
        return []
    return certificate.problems(sources[".crt"], sources[".key"], trial.authority, trial.name)


def python() -> str:
    """The interpreter for what outlives us: the system's own, where it is new enough."""
    found = re.search(r"python3\.(\d+)$", os.path.realpath("/usr/bin/python3"))
    return "/usr/bin/python3" if found and int(found.group(1)) >= 9 else sys.executable


def run_directory(system: System, run: str) -> str:
    """The directory of a run by its name; `last` is the last that can be undone. Raises Refused."""
    directories = executor.run_directories(system)
    if run == "last":
        directories = tuple(each for each in directories if _undoable(system, each))
        if not directories:
            raise Refused(["there is no run to undo on this host."])
        return directories[-1]
    for directory in directories:
        if posixpath.basename(directory) == run:
            return directory
    raise Refused(["there is no run %s on this host; `mailseal runs` lists them." % run])


def _undoable(system: System, directory: str) -> bool:
    state = Journal(system, executor.journal_path(directory)).state
    return state not in (None, RunState.UNDONE)


def receipts(system: System) -> Tuple[Receipt, ...]:
    """The receipts of all runs of this host, oldest first. Needs root."""
    return tuple(
        executor.receipt(system, directory)
        for directory in executor.run_directories(system)
        if Journal(system, executor.journal_path(directory)).state is not None
    )


# -- the commands ----------------------------------------------------------------------------------


def _facts(system: System, words: Sequence[str]) -> int:
    ports = tuple(int(word) for word in words if not word.startswith("/"))
    paths = tuple(word for word in words if word.startswith("/"))
    _say(gather(system, ports or (109,), paths))
    return 0


def _local(system: System, words: Sequence[str]) -> int:
    ports = tuple(int(word) for word in words if word != "all")
    _say(local.gather(system, ports, "all" in words))
    return 0


def _look(system: System, words: Sequence[str]) -> int:
    return asked.main()


def _reload(system: System, words: Sequence[str]) -> int:
    print(reload(system, words[0]), flush=True)
    return 0


def _apply(system: System, words: Sequence[str]) -> int:
    payload, _, more = sys.stdin.buffer.read().partition(b"\0")
    given = codec.loads(Control, more, lenient=False) if more else Control()
    with local_tools(system, _tell, None, _actor(words)) as tools:
        receipt = executor.apply(payload, tools, float(words[0]), given)
    _say(receipt)
    return EXIT[receipt.state]


def _confirm(system: System, words: Sequence[str]) -> int:
    lines = sys.stdin.buffer.read().splitlines()
    proofs = [codec.loads(Proof, line, lenient=True) for line in lines if line.strip()]
    with local_tools(system, _tell, {}, _actor(words)) as tools:
        receipt = executor.confirm(run_directory(system, words[0]), tools, proofs, words[1])
    _say(receipt)
    return EXIT[receipt.state]


def _rollback(system: System, words: Sequence[str]) -> int:
    with local_tools(system, _tell, None, _actor(words)) as tools:
        directory = run_directory(system, words[0])
        force = "force" in words[1:]
        receipt = executor.rollback_locked(directory, tools, "rollback was asked for", force=force)
    _say(receipt)
    return 0 if receipt.state is RunState.UNDONE else EXIT[receipt.state]


def _recover(system: System, words: Sequence[str]) -> int:
    # Asked every few seconds: a network namespace is made only where something will be proven.
    while not executor.due(system, words[0]):
        if words[1:2] != ["watch"]:
            return 0
        system.sleep(deadman.PERIOD)
    lookers: Optional[Mapping[Vantage, Observe]] = None
    if not executor.unfinished(system, words[0]):
        lookers = {}
    with local_tools(system, _tell, lookers) as tools:
        receipt = executor.recover(words[0], tools)
    if receipt is not None:
        _say(receipt)
        return 0 if receipt.state is RunState.UNDONE else EXIT[receipt.state]
    return 0


def _runs(system: System, words: Sequence[str]) -> int:
    for receipt in receipts(system):
        _say(receipt)
    return 0


def _changes(system: System, words: Sequence[str]) -> int:
    _say(changes.history(system))
    return 0


def _policy(system: System, words: Sequence[str]) -> int:
    _say(PolicyText(control.policy_text(system)))
    return 0


def _certificate(system: System, words: Sequence[str]) -> int:
    pem = system.read(words[0])
    if b"PRIVATE KEY" in pem:
        raise Refused(["%s holds a private key: it is not given out." % words[0]])
    sys.stdout.write(pem.decode("ascii", "replace"))
    return 0


def _copy(system: System, words: Sequence[str]) -> int:
    directory, wanted = words[0], words[1:]
    if not _OWN.fullmatch(directory):
        raise ValueError("%s is no directory of an agent" % directory)
    with signals() as shield:
        try:
            hold.when_let_go(lambda: os.kill(os.getpid(), signal.SIGTERM))
            with hostcopy.HostCopy(system, wanted, _tell) as place:
                _say(place)
                while True:
                    system.sleep(60.0)
        except Stopped:
            return 0
        except hostcopy.CannotCopy as error:
            raise Refused([str(error), "Nothing was rehearsed."]) from None
        finally:
            shield()
            system.run(["rm", "-rf", "--", directory])


_OWN = re.compile(r"/tmp/mailseal-[A-Za-z0-9]{8}")
COPY_SECONDS = (
    hostcopy.BOOT_SECONDS + hostcopy.FETCH_SECONDS + 60.0,
    4 * hostcopy.END_SECONDS,
)
"""How long a copy may take to come, and to go."""

_COMMANDS: Dict[str, Tuple[Callable[[System, Sequence[str]], int], int]] = {
    "facts": (_facts, 0),
    "local": (_local, 0),
    "look": (_look, 0),
    "reload": (_reload, 1),
    "apply": (_apply, 1),
    "confirm": (_confirm, 2),
    "rollback": (_rollback, 1),
    "recover": (_recover, 1),
    "runs": (_runs, 0),
    "changes": (_changes, 0),
    "policy": (_policy, 0),
    "certificate": (_certificate, 1),
    "copy": (_copy, 1),
}
"""Name to function and the number of words it needs."""


_ACTOR = "actor="


def _actor(words: Sequence[str]) -> Actor:
    """Who asks: who the words say, else whose process this is."""
    for word in words:
        if word.startswith(_ACTOR):
            return codec.loads(Actor, word[len(_ACTOR) :], lenient=True)
    return account.who()


def _say(value: object) -> None:
    print(codec.dumps(value), flush=True)


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        print(line, file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Runs one command; gives the exit code."""
    name, words = (argv[0], list(argv[1:])) if argv else ("", [])
    if name not in _COMMANDS or len(words) < _COMMANDS[name][1]:
        print((__doc__ or "").strip(), file=sys.stderr)
        return USAGE
    try:
        return _COMMANDS[name][0](LiveSystem(), words)
    except Refused as refused:
        for problem in refused.problems:
            _tell(problem)
        return REFUSED
    except (codec.CodecError, ValueError) as error:
        _tell("bad input: %s" % error)
        return USAGE
    except PermissionError as error:
        _tell("%s: this needs root" % error)
        return REFUSED
    except JournalDamaged as error:
        _tell("%s. Nothing was done; look at the file before anything else." % error)
        return FAULT
    except Exception as error:
        traceback.print_exc()
        _tell("a fault of mailseal: %s: %s" % (type(error).__name__, error))
        return FAULT
