"""The exported role, run by `ansible-playbook` over ssh on several hosts at once, reaches what
`apply` reaches, tells it before in check mode, changes nothing a second time, and takes back what
fails.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab import Lab
from mailseal.apply.operations import sha256, spliced
from mailseal.configs import openssl
from mailseal.export import FLEETS, Source
from mailseal.model.ops import (
    CheckConfiguration,
    EditFile,
    Firewall,
    Op,
    OpenPort,
    Splice,
    WriteFile,
)
from mailseal.workflow.export import role
from mailseal.workflow.plans import read_file
from tests.export.programs import environment
from tests.lab.story import (
    NAME,
    ROOT,
    Ran,
    Scene,
    State,
    changed,
    check_as_before,
    desk,
    mailseal,
    package_alone,
    ran,
    scene,
    sealed,
    state,
)
from tests.lab.test_export import _CERTIFICATE, MAIL, comparable

pytestmark = [pytest.mark.lab, pytest.mark.slow]

TARGET = f"{NAME}:109"
PAGE = (ROOT / "docs/howto/seal-a-fleet-with-ansible.md").read_text()
"""Its playbooks are run here as it says."""
GOOD = CheckConfiguration(("echo", "ssl  =   required"), ("ssl = required",))
BAD = CheckConfiguration(("echo", "ssl = no"), ("ssl = required",))
ODD = "[{{ 7 * 7 }}]\r\n\u00e9\u20ac\U0001f600 {% raw %} \\ ' \" old {# no end".encode()
"""Bytes that an engine of templates, or one that guesses a type or a code, would not keep."""
SPLICES = (Splice(ODD.index(b"old"), b"old", b"{{ new }}\n"), Splice(0, b"[", b'{"a": ['))
CHANGED = spliced(ODD, SPLICES)
assert CHANGED
ODD_STEPS = (
    WriteFile("/srv/written", ODD, "root", "root", 0o640),
    EditFile("/srv/edited", sha256(ODD), sha256(CHANGED), SPLICES),
    OpenPort(Firewall.NFTABLES, 4190, "inet lab input", last=True),
)
CHAIN = "add table inet lab; add chain inet lab input { type filter hook input priority 9; }"
RULE = 'tcp dport 4190 accept comment "mailseal port 4190"'
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Fleet:
    """Mail hosts by name, and the folder of the export with which Ansible is run."""

    hosts: dict[str, Scene]
    folder: Path
    home: Path

    def play(self, book: str, *words: str, failing: tuple[str, ...] = ()) -> tuple[Counts, Ran]:
        """Runs a playbook, which must do what it says but for the hosts that are named; what it
        counted for each host, and said.
        """
        if "--limit" not in words:
            assert (
                " ".join(("$ ansible-playbook -i fleet/inventory.yml fleet/" + book, *words))
                in PAGE
            )
        done = self._run(book, *words)
        found = {
            host: {key: int(count) for key, count in re.findall(r"(\w+)=(\d+)", line)}
            for host, line in re.findall(r"(?m)^(\S+) +: (ok=.*)$", done.out)
        }
        assert found, done.said
        for host, counts in found.items():
            expected = int(host in failing)
            assert [counts[key] for key in ("failed", "rescued")] == [expected] * 2, done.said
        return found, done

    def _run(self, book: str, *words: str) -> Ran:
        settings = [f"{key}={value}" for key, value in environment(self.home).items()]
        ssh = "--ssh-common-args=-F /dev/null -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        command = ["env", "-i", *settings, "ansible-playbook", "-u", "root"]
        command += ["-i", str(self.folder / "inventory.yml")]
        command += ["--private-key", f"{self.home}/key", ssh]
        client = next(iter(self.hosts.values())).client
        done = client.run([*command, str(self.folder / book), *words], check=False, timeout=200)
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def states(self) -> dict[str, State]:
        return {name: state(each.mail) for name, each in self.hosts.items()}


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short name: ssh keeps a socket in it."""
    path = Path(tempfile.mkdtemp(prefix="ms"))
    yield path
    shutil.rmtree(path)


def fleet(lab: Lab, home: Path, *kinds: tuple[str, str]) -> Fleet:
    """Hosts of these systems and starters, that let this machine in as root."""
    key = home / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True, timeout=30)
    hosts: dict[str, Scene] = {}
    for number, (system, starter) in enumerate(kinds, 1):
        name = f"mail{number}"
        on = scene(lab, system, starter, name, next(iter(hosts.values()), None))
        on.mail.run(["mkdir", "-p", "-m", "700", "/root/.ssh"])
        on.mail.write("/root/.ssh/authorized_keys", Path(f"{key}.pub").read_bytes(), mode=0o600)
        on.mail.run(["systemctl", "start", "ssh"])
        hosts[name] = on
    return Fleet(hosts, home / "fleet", home)


def planned(on: Scene, *words: str) -> bytes:
    """A plan file, made on the host itself."""
    sealed(on.mail, "plan", TARGET, *words, "-o", "/srv/plan.json")
    return on.mail.read("/srv/plan.json")


def export(on: Fleet, plans: Mapping[str, bytes], **more: tuple[Op, ...]) -> None:
    """Exports plan files, by the names of their hosts; a host's plan ends with the steps `more`."""
    sources = []
    for name, text in plans.items():
        plan, payload = read_file(text)
        longer = replace(plan, ops=(*plan.ops, *more.get(name, ())))
        digest = hashlib.sha256(payload).hexdigest()
        sources.append(Source(longer, digest, openssl.configurations, b"", role()))
    for each in FLEETS["ansible"](sources):
        path = on.folder / each.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.content)
    inventory = on.folder / "inventory.yml"
    listed = inventory.read_text()
    for name, host in on.hosts.items():
        where = f'"{name}": {{ansible_host: {host.mail.ipv4}}}'
        listed = listed.replace(f'"{name}": {{}}', where)
    inventory.write_text(listed)


def check_as_applied(by_role: State, applied: State) -> None:
    """Files, units and sockets are those that `apply` leaves."""
    assert changed(comparable(by_role), comparable(applied)) == {}
    assert changed(by_role.units, applied.units) == {}
    assert by_role.listeners == applied.listeners


@pytest.mark.timeout(400)
def test_two_hosts_at_once_one_reaches_what_apply_does_and_one_is_taken_back(
    lab: Lab, home: Path
) -> None:
    on = fleet(lab, home, ("bookworm", "standalone"), ("bookworm", "inetd"))
    good, bad = on.hosts.values()
    plans = {"mail1": planned(good), "mail2": planned(bad, "--strategy", "retire")}
    export(on, plans, mail1=(*ODD_STEPS, GOOD), mail2=(*ODD_STEPS, BAD))
    for each in on.hosts.values():
        each.mail.write("/srv/edited", ODD, mode=0o604)
        each.mail.run(["nft", CHAIN])
    sealed(good.mail, "seal", TARGET, "--yes")
    assert good.log_in("tls", ca=good.ca()) == good.answered
    applied = state(good.mail)
    sealed(good.mail, "rollback")
    before = on.states()

    told, words = on.play("playbook.yml", "--check", "--diff")
    assert all(counts["changed"] > 4 for counts in told.values())
    assert "-109\tstream" in words.out
    assert on.states() == before

    _, words = on.play("playbook.yml", failing=("mail2",))
    assert "undone, the host is as before: ask the daemon about its configuration" in words.out
    good.check_sealed()
    check_as_applied(state(good.mail), applied)
    assert (good.mail.read("/srv/written"), good.mail.read("/srv/edited")) == (ODD, CHANGED)
    opened = [RULE in ran(each.mail, "nft", "list", "ruleset").out for each in (good, bad)]
    assert opened == [True, False]
    bad.check_cleartext()
    assert ran(bad.mail, "stat", "-c", "%a", "/srv/written", "/srv/edited").out == "604\n"
    assert bad.mail.read("/srv/edited") == ODD
    check_as_before(before["mail2"], state(bad.mail))

    again, _ = on.play("playbook.yml", "--limit", "mail1")
    assert again["mail1"]["changed"] == 0


@pytest.mark.soak
@pytest.mark.timeout(700)
def test_a_role_is_taken_back_when_it_fails_or_is_asked_to_and_what_drifted_is_refused(
    lab: Lab, home: Path
) -> None:
    on = fleet(lab, home, ("bookworm", "inetd"), ("bookworm", "standalone"))
    plans = {name: planned(each) for name, each in on.hosts.items()}
    export(on, plans, mail1=(BAD,), mail2=(BAD,))
    before = on.states()
    on.play("playbook.yml", failing=("mail1", "mail2"))
    for name, each in on.hosts.items():
        each.check_cleartext()
        check_as_before(before[name], state(each.mail), package_alone("bookworm"))

    export(on, plans)
    on.play("playbook.yml")
    # The first session starts what stands between stunnel and a stand-alone daemon.
    for each in on.hosts.values():
        each.check_sealed()
    by_role = on.states()

    # A run that was cut off is gone on with.
    for each in on.hosts.values():
        each.mail.run(["sh", "-c", "rm /var/lib/mailseal/ansible-*/done /etc/mailseal/109.conf"])
    on.play("playbook.yml")
    for name, each in on.hosts.items():
        each.check_sealed()
        check_as_before(by_role[name], state(each.mail))

    # Nothing is overwritten, forward or back.
    mail = on.hosts["mail1"].mail
    conf = mail.read("/etc/inetd.conf")
    mail.write("/etc/inetd.conf", conf + b"# edited since\n")
    for book, words in (
        ("playbook.yml", "/etc/inetd.conf is not as the plan left it"),
        ("undo.yml", "/etc/inetd.conf was changed since: settle it by hand"),
    ):
        done = on._run(book, "--limit", "mail1")
        assert done.code == 2
        assert words in done.out, done.said
        on.hosts["mail1"].check_sealed()
    mail.write("/etc/inetd.conf", conf)

    mail.run(["sh", "/etc/mailseal/renew", "109", "now"])
    on.play("undo.yml")
    for name, each in on.hosts.items():
        each.check_cleartext()
        check_as_before(before[name], state(each.mail), package_alone("bookworm"))
    nothing, _ = on.play("undo.yml")
    assert all(counts["changed"] == 0 for counts in nothing.values())

    for name, each in on.hosts.items():
        sealed(each.mail, "seal", TARGET, "--yes")
        assert each.log_in("tls", ca=each.ca()) == each.answered
        check_as_applied(by_role[name], state(each.mail))


@pytest.mark.soak
@pytest.mark.timeout(500)
def test_other_plans_run_as_a_role_too(lab: Lab, home: Path) -> None:
    on = fleet(
        lab,
        home,
        ("bullseye", "xinetd"),
        ("bookworm", "standalone"),
        ("bookworm", "standalone"),
        ("bookworm", "inetd"),
    )
    first, offer, retire, given = on.hosts.values()
    at = desk(first)
    keys = at.read("/root/.ssh/id_ed25519.pub") + Path(f"{home}/key.pub").read_bytes()
    first.mail.write("/root/.ssh/authorized_keys", keys, mode=0o600)
    made = mailseal(at, "plan", "ssh://mailhost", "--name", NAME, "-o", "/srv/plan.json")
    assert made.code == 0, made.said
    given.mail.run(["sh", "-ec", _CERTIFICATE % (NAME, NAME)])
    plans = {
        "mail1": at.read("/srv/plan.json"),
        "mail2": planned(offer, "--stage", "offer"),
        "mail3": planned(retire, "--strategy", "retire"),
        "mail4": planned(given, "--cert", MAIL, "--key", "/srv/mail.key", "--ca", MAIL),
    }
    export(on, plans)
    before = on.states()
    on.play("playbook.yml")
    first.check_sealed()
    offer.check_cleartext()
    offer.check_sealed(1109)
    assert retire.log_in("polite") == [["!ConnectionRefusedError"]] * 2
    given.check_sealed(ca=given.mail.read(MAIL).decode())
    again, _ = on.play("playbook.yml")
    assert all(counts["changed"] == 0 for counts in again.values()), again
    on.play("undo.yml")
    for name, each in on.hosts.items():
        each.check_cleartext()
        system = "bullseye" if name == "mail1" else "bookworm"
        check_as_before(before[name], state(each.mail), package_alone(system))
