"""The power goes before and after each kind of op on a host whose disk loses what was not synced.

Strategy: the agent dies at the point, with a dead-man too slow to help, and in the same moment the
host's disk is cut off. The next boot has nothing but what is on the disk; the unit that was left
there undoes the run. One host serves many points: after each it is as before, or the test ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pytest

from lab import Client, Host, Lab
from mailseal import plan as planner
from mailseal.model import codec
from mailseal.model.ops import (
    CheckConfiguration,
    CopyFile,
    InstallPackage,
    IssueCertificate,
    Op,
    OpenPort,
)
from mailseal.model.plan import Plan, RunState
from tests.lab import dying
from tests.lab.test_firewall import CONF, RULES

TOO_SLOW = 600
"""Seconds of the dead-man's period: only the boot can help."""

GIVEN = planner.Given("/opt/given.crt", "/opt/given.key", "/opt/given.crt")
MAKE_GIVEN = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "
    "-subj '/CN=mail service' -addext subjectAltName=DNS:mail.example "
    "-keyout /opt/given.key -out /opt/given.crt 2>/dev/null; sync"
)


def power_cycle(host: Host) -> None:
    host.kill_power()
    host.boot()
    dying.await_rest(host)
    host.wait_listening(109)


def around_each_kind(ops: Sequence[Op], listed: Sequence[tuple[str, str]]) -> list[str]:
    """Before and after the act of the last op of each kind: those nearest to the switch."""
    records = {}
    for number, point in enumerate(listed):
        record = dying.recorded(point)
        if record:
            records[record["what"], record.get("op")] = number
    last = {type(op): index for index, op in enumerate(ops)}
    acts = {
        index: (records["intent", index] + 1, records["done", index]) for index in last.values()
    }
    return [f"{number}:before" for index in sorted(acts) for number in dict.fromkeys(acts[index])]


def loses_power(host: Host, client: Client, made: Plan, fatal: Sequence[str]) -> None:
    power_cycle(host)
    before = dying.state(host)
    for point in fatal:
        assert dying.dying(host, point, made, period=TOO_SLOW).returncode != 0, point
        power_cycle(host)
        assert dying.receipts(host)[-1].state is RunState.UNDONE, point
        assert dying.differences(before, dying.state(host)) == {}, point
        assert dying.in_cleartext(client, host), point


CASES = {
    "issued": (None, 1109, {CopyFile, InstallPackage}),
    "given": (GIVEN, 0, {IssueCertificate, InstallPackage, OpenPort}),
}
"""The certificate, a port beside that the firewall is to let in, and the kinds of op that the plan
does not have (a package: see below)."""


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("certificate", CASES)
def test_power_loss_before_and_after_each_kind_of_op(lab: Lab, certificate, capsys) -> None:
    given, beside, missing = CASES[certificate]
    net = lab.network()
    client = lab.client(net, "client")
    host = dying.prepared(lab, "mailhost", net, durable=True)
    host.run(["sh", "-c", MAKE_GIVEN])
    host.write(CONF, RULES, 0o755)
    host.run(["sh", "-ec", "systemctl enable --now nftables; sync"])
    made = dying.plan(host, given, beside)
    # A wrap asks no daemon about its configuration; strategy native does.
    asking = CheckConfiguration(("true",), ())
    made = replace(made, ops=(*made.ops[:-1], asking, made.ops[-1]))
    assert {type(op) for op in made.ops} == set(get_args(Op)) - missing
    assert dying.dying(host, "list", made, hold=1).returncode == 0
    dying.await_rest(host)
    fatal = around_each_kind(made.ops, dying.points(host))
    loses_power(host, client, made, fatal)
    with capsys.disabled():
        print(f"\n    {len(fatal)} power losses on a booted host", end="")


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_power_loss_while_a_package_is_installed(lab: Lab) -> None:
    net = lab.network()
    client = lab.client(net, "client")
    host = lab.host("mailhost", system="bookworm", network=net, durable=True)
    host.install_pop2d("inetd")
    dying.bring_agent(host)
    host.disk.sync()
    made = dying.plan(host)
    assert isinstance(made.ops[0], InstallPackage)
    enabled = _enabled(host)
    install = next(
        number
        for number, (name, text) in enumerate(_listed(host, made))
        if name == "run" and text.startswith("apt-get install")
    )
    for point in (f"{install}:before", f"{install + 1}:before"):
        again = lab.host(f"mail{point[:2]}", system="bookworm", network=net, durable=True)
        again.install_pop2d("inetd")
        dying.bring_agent(again)
        again.disk.sync()
        assert dying.dying(again, point, dying.plan(again), period=TOO_SLOW).returncode != 0
        power_cycle(again)
        assert dying.receipts(again)[-1].state is RunState.UNDONE
        # The package may be there, half or whole; nothing of it runs or will, and no guard is left.
        assert _enabled(again) == enabled
        left = again.run(["sh", "-c", "ls -A /etc/systemd/system /usr/sbin"]).stdout
        assert b"mailseal" not in left
        assert b"policy-rc.d" not in left
        assert dying.in_cleartext(client, again)


def _enabled(host: Host) -> list[bytes]:
    words = ["systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--plain"]
    return sorted(line.split()[0] for line in host.run(words).stdout.splitlines())


def _listed(host: Host, made: Plan) -> list[tuple[str, str]]:
    assert dying.dying(host, "list", made, hold=1).returncode == 0
    dying.await_rest(host)
    return dying.points(host)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_power_loss_while_held_undoes_and_after_the_confirmation_keeps(lab: Lab) -> None:
    net = lab.network()
    client = lab.client(net, "client")
    host = dying.prepared(lab, "mailhost", net, durable=True)
    power_cycle(host)
    before = dying.state(host)
    payload = codec.dumps(dying.plan(host)).encode("ascii")

    assert dying.agent(host, "apply", "300", given=payload).returncode == 0
    power_cycle(host)
    assert dying.receipts(host)[-1].state is RunState.UNDONE
    assert dying.differences(before, dying.state(host)) == {}
    assert dying.in_cleartext(client, host)

    assert dying.agent(host, "apply", "300", given=payload).returncode == 0
    run = dying.receipts(host)[-1].run
    assert dying.agent(host, "confirm", run, "the operator").returncode == 0
    host.kill_power()
    host.boot()
    host.wait_listening(109)
    assert dying.receipts(host)[-1].state is RunState.COMMITTED
    owners = {name for _, _, port, name in host.listeners() if port == 109}
    assert owners == {"stunnel4"}

    assert dying.agent(host, "rollback", run).returncode == 0
    assert dying.differences(before, dying.state(host)) == {}
