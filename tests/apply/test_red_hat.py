"""The whole way on a host with dnf, from recorded answers: plan, apply, exports, rollback."""

import pytest

from mailseal import plan as planner
from mailseal.apply import executor
from mailseal.export import ansible, shell
from mailseal.facts.gather import gather
from mailseal.model import codec, ops
from mailseal.model.plan import Plan, RunState
from mailseal.plan import Cannot
from mailseal.system.base import Completed
from mailseal.terminators import stunnel
from tests.apply import world
from tests.export.make import source
from tests.system.rocky import Rocky

EXCEPTIONS = (*world.EXCEPTIONS, "/usr/bin/stunnel")


def host() -> Rocky:
    system = Rocky()
    system.daemons["ipop2d"] = world.standalone
    system.put("/usr/local/sbin/ipop2d", b"\x7fELF", 0o755)
    system.put(world.BOOT_ID, b"first\n")
    system.install("xinetd")
    system.put("/etc/xinetd.d/pop2", world.BLOCK)
    system.manager.boot()
    return system


def made(system: Rocky) -> Plan:
    options = planner.Options(strategy="wrap", name="mail.example")
    return planner.make(gather(system, (109,)), 109, "pop2", options)


def test_facts_tell_the_package_manager_and_nothing_was_fetched_for_them():
    system = host()
    facts = gather(system, (109,))
    assert facts.manager == "dnf"
    assert facts.packages == {"xinetd": "1:2.3.15.3-1+b1"}
    assert system.asked == []


def test_the_plan_brings_the_package_by_its_name_there_and_an_account():
    plan = made(host())
    assert plan.ops[0] == ops.InstallPackage("stunnel")
    written = {op.path: op.content for op in plan.ops if isinstance(op, ops.WriteFile)}
    assert b"ExecStart=/usr/bin/stunnel /etc/" in written[stunnel.TEMPLATE]
    account = written["/etc/systemd/system/" + stunnel.ACCOUNT]
    assert b'ExecStart=/usr/bin/systemd-sysusers --inline "u stunnel4 - -"' in account
    assert any("rehearse the plan first" in each for each in plan.risks)


def test_there_and_back():
    system = host()
    before = system.snapshot(EXCEPTIONS)
    plan = made(system)
    told = executor.apply(codec.dumps(plan).encode("ascii"), world.tools(system), world.HOLD)
    assert told.state is RunState.HELD, told.reason
    assert told.exceptions == ("stunnel",)
    assert system.packages["stunnel"] == "5.71-2.el9"
    key = system.nodes["/etc/mailseal/109.key"].meta
    assert (key.mode, key.gid) == (0o640, system.groups["stunnel4"])
    assert system.manager.active["mailseal@109.service"] == "active"
    assert {each.executable for each in system.listeners() if each.port == 109} == {
        "/usr/bin/stunnel"
    }
    done = world.do_confirm(system)
    assert done.state is RunState.COMMITTED
    back = world.do_rollback(system)
    assert back.state is RunState.UNDONE, back.reason
    assert "dnf remove stunnel" in " ".join(str(each) for each in back.results)
    assert system.snapshot(EXCEPTIONS) == before


def test_a_stunnel_that_is_too_old_is_refused():
    system = host()
    system.install("stunnel")
    old = b"stunnel 4.56 on x86_64-redhat-linux-gnu platform\n"
    system.programs["stunnel"] = lambda argv, data: Completed(argv, 0, old, b"")
    with pytest.raises(Cannot, match=r"install 5\.50 or newer"):
        made(system)


def test_the_exports_carry_it():
    plan = source(made(host()))
    runbook = {each.name: each.content for each in shell.export(plan)}["runbook.sh"]
    assert b"dnf install --assumeyes --setopt=install_weak_deps=False stunnel" in runbook
    assert b"rpm -q stunnel" in runbook
    variables = b"".join(each.content for each in ansible.export([plan]))
    assert b"mailseal-account.service" in variables
