"""A port in the firewall: what was there before is left, what is ours is taken away, and a firewall
that is no longer there has no rule of ours.
"""

from __future__ import annotations

import pytest

from mailseal.apply import deadman
from mailseal.apply.operations import Context, OpFailed, operation
from mailseal.model.ops import Firewall, OpenPort
from mailseal.model.plan import RunState
from mailseal.system.base import Completed
from mailseal.system.memory import Killed, MemorySystem, Point
from mailseal.system.memory.firewall import RULES
from tests.apply import world

OP = OpenPort(Firewall.NFTABLES, 995, "inet filter input", last=True)
OURS = b'tcp dport 995 accept comment "mailseal port 995"\n'
THEIRS = b"tcp dport 22 accept\n"


def host(rules: bytes = THEIRS) -> MemorySystem:
    system = MemorySystem()
    system.put(RULES, rules)
    return system


def context(system: MemorySystem) -> Context:
    return Context(system, "/var/lib", lambda *words: None)


def done(system: MemorySystem, op: OpenPort = OP) -> dict[str, object]:
    row = operation(op)
    undo = row.before(context(system), op, 0)
    row.act(context(system), op)
    return undo


def test_a_rule_of_ours_from_an_earlier_run_is_left():
    system = host(THEIRS + OURS)
    undo = done(system)
    assert system.read(RULES) == THEIRS + OURS
    operation(OP).undo(context(system), OP, undo)
    assert system.read(RULES) == THEIRS + OURS


def test_somebodys_own_rule_for_the_port_is_left():
    same = b"tcp dport 995 accept\n"
    system = host(THEIRS + same)
    undo = done(system)
    assert system.read(RULES) == THEIRS + same + OURS
    operation(OP).undo(context(system), OP, undo)
    assert system.read(RULES) == THEIRS + same


def test_rules_that_came_meanwhile_are_left():
    system = host()
    undo = done(system)
    system.put(RULES, b"tcp dport 80 accept\n" + system.read(RULES) + b"tcp dport 443 accept\n")
    operation(OP).undo(context(system), OP, undo)
    assert system.read(RULES) == b"tcp dport 80 accept\n" + THEIRS + b"tcp dport 443 accept\n"


def test_a_chain_or_a_firewall_that_is_gone_has_no_rule_of_ours():
    system = host()
    undo = done(system)
    gone = OpenPort(OP.manager, OP.port, "inet filter other")
    assert "no rule of ours" in operation(gone).undo(context(system), gone, undo)
    system.remove(RULES)
    assert "no rule of ours" in operation(OP).undo(context(system), OP, undo)


def test_a_chain_that_is_gone_before_fails_before_anything_is_changed():
    gone = OpenPort(OP.manager, OP.port, "inet filter other")
    with pytest.raises(OpFailed, match=r"not as when the plan was made: nft .*No such file"):
        operation(gone).before(context(host()), gone, 0)


def test_a_firewall_that_refuses_or_does_nothing_is_a_failure():
    system = host()
    nft = system.programs["nft"]
    for answer in (Completed((), 0, b"", b""), Completed((), 1, b"", b"Permission denied")):

        def stubborn(argv: tuple[str, ...], data: bytes, said: Completed = answer) -> Completed:
            return nft(argv, data) if "list" in argv else said

        system.programs["nft"] = stubborn
        with pytest.raises(OpFailed, match="does not let TCP port 995 in"):
            operation(OP).act(context(system), OP)
    assert system.read(RULES) == THEIRS


def test_a_rule_that_cannot_be_taken_away_is_told():
    system = host()
    undo = done(system)
    nft = system.programs["nft"]

    def stubborn(argv: tuple[str, ...], data: bytes) -> Completed:
        return nft(argv, data) if "list" in argv else Completed(argv, 1, b"", b"Resource busy")

    system.programs["nft"] = stubborn
    with pytest.raises(OpFailed, match=r"still lets TCP port 995 in: .*Resource busy"):
        operation(OP).undo(context(system), OP, undo)


def test_firewalld_keeps_what_one_of_its_two_places_had():
    """For good, and not now: the undo takes away the one that was added."""
    system, there = MemorySystem(), {"permanent"}

    def cmd(argv: tuple[str, ...], data: bytes) -> Completed:
        place = "permanent" if "--permanent" in argv else "runtime"
        assert "--zone=public" in argv
        word = argv[-1]
        if word == "--query-port=995/tcp":
            return Completed(argv, 0 if place in there else 1, b"", b"")
        {"--add-port=995/tcp": there.add, "--remove-port=995/tcp": there.remove}[word](place)
        return Completed(argv, 0, b"", b"")

    system.programs["firewall-cmd"] = cmd
    op = OpenPort(Firewall.FIREWALLD, 995, "public")
    undo = done(system, op)
    assert there == {"permanent", "runtime"}
    operation(op).undo(context(system), op, undo)
    assert there == {"permanent"}


def test_rules_that_a_boot_loads_in_the_middle_of_an_undo_are_taken_away():
    """The rule was gone already, and the file that the boot loads still had it."""
    each = world.case("fenced", "wrap", "offer")
    system = each.start()
    world.do_apply(each)(system)
    world.do_confirm(system)
    loaded = system.read(RULES)
    assert b"1109" in loaded
    passed: list[str] = []

    def fault(point: Point) -> None:
        """Killed at the second record after the rule is gone: the first one tells that."""
        if "delete" in point.args or passed:
            passed.append(point.name)
        if passed.count("append") > 3:
            raise Killed(point)

    system.fail = fault
    with pytest.raises(Killed):
        world.do_rollback(system)
    system.fail = None
    system.revive()
    assert b"1109" not in system.read(RULES)
    boot = system.read(deadman.boot_path(world.run(system))).decode()
    assert "nftables.service" in next(
        each for each in boot.split("\n") if each.startswith("After=")
    )
    system.put(RULES, loaded)
    world.reboot(system)
    assert world.settled(system, each) is RunState.UNDONE
