"""The exported role, run by `ansible-playbook` over ssh on several hosts at once, reaches what `apply`
reaches, tells it before in check mode, changes nothing a second time, and takes back what fails.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import Lab
from tests.cli.program import mailseal as here
from tests.export.programs import environment
from tests.lab.story import (
    NAME,
    Ran,
    Scene,
    changed,
    check_as_before,
    package_alone,
    scene,
    sealed,
    state,
)
from tests.lab.test_export import comparable

pytestmark = [pytest.mark.lab, pytest.mark.slow]

TARGET = f"{NAME}:109"


@dataclass(frozen=True)
class Fleet:
    """Mail hosts by name, and the folder of the export with which Ansible is run."""

    hosts: dict[str, Scene]
    folder: Path
    home: Path

    def play(self, book: str, *words: str) -> dict[str, dict[str, int]]:
        """Runs a playbook, which must do what it says; what it counted for each host."""
        import time; t0=time.time()
        done = self.run(book, *words)
        print(book, words, time.time()-t0)
        assert done.code == 0, done.said
        found = {}
        for host, line in re.findall(r"(?m)^(\S+) +: (ok=.*)$", done.out):
            found[host] = {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", line)}
        assert found.keys() == self.hosts.keys(), done.said
        return found

    def run(self, book: str, *words: str) -> Ran:
        settings = [f"{key}={value}" for key, value in environment(self.home).items()]
        ssh = "--ssh-common-args=-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        command = ["env", "-i", *settings, "ansible-playbook", "-u", "root"]
        command += ["-i", str(self.folder / "inventory.yml"), "--private-key", f"{self.home}/key", ssh]
        command += [str(self.folder / book), *words]
        client = next(iter(self.hosts.values())).client
        done = client.run(command, check=False, timeout=200)
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


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


def export(on: Fleet, *plans: Path) -> None:
    done = here("export", *map(str, plans), "--to", "ansible", "-o", str(on.folder))
    assert done.returncode == 0, done.stderr
    inventory = on.folder / "inventory.yml"
    text = inventory.read_text()
    for name, each in on.hosts.items():
        text = text.replace(f'"{name}": {{}}', f'"{name}": {{ansible_host: {each.mail.ipv4}}}')
    inventory.write_text(text)


@pytest.mark.timeout(300)
def test_the_role_does_what_apply_does_on_two_hosts_at_once(lab: Lab, home: Path) -> None:
    on = fleet(lab, home, ("bookworm", "inetd"), ("bookworm", "standalone"))
    plans = []
    for name, each in on.hosts.items():
        sealed(each.mail, "plan", TARGET, "-o", "/srv/plan.json")
        plans.append(home / f"{name}.json")
        plans[-1].write_bytes(each.mail.read("/srv/plan.json"))
    export(on, *plans)
    before = {name: state(each.mail) for name, each in on.hosts.items()}

    # Check mode tells, and touches nothing.
    told = on.play("playbook.yml", "--check", "--diff")
    for name, each in on.hosts.items():
        assert told[name]["failed"] == 0
        assert told[name]["changed"] > 5
        check_as_before(before[name], state(each.mail))
        assert state(each.mail) == before[name]

    done = on.play("playbook.yml")
    for name, each in on.hosts.items():
        assert done[name]["failed"] == done[name]["rescued"] == 0
        each.check_sealed()
    by_role = {name: state(each.mail) for name, each in on.hosts.items()}

    again = on.play("playbook.yml")
    assert all(each["changed"] == each["failed"] == 0 for each in again.values()), again

    back = on.play("undo.yml")
    for name, each in on.hosts.items():
        assert back[name]["failed"] == 0
        each.check_cleartext()
        check_as_before(before[name], state(each.mail), package_alone("bookworm"))

    for name, each in on.hosts.items():
        sealed(each.mail, "seal", TARGET, "--yes")
        assert each.log_in("tls", ca=each.ca()) == each.answered
        applied = state(each.mail)
        assert changed(comparable(by_role[name]), comparable(applied)) == {}
        assert changed(by_role[name].units, applied.units) == {}
        assert by_role[name].listeners == applied.listeners


@pytest.mark.timeout(200)
def test_a_host_where_a_step_fails_is_taken_back_and_the_other_is_done(
    lab: Lab, home: Path
) -> None:
    on = fleet(lab, home, ("bookworm", "inetd"), ("bookworm", "inetd"))
    plans = []
    for name, each in on.hosts.items():
        sealed(each.mail, "plan", TARGET, "-o", "/srv/plan.json")
        plans.append(home / f"{name}.json")
        plans[-1].write_bytes(each.mail.read("/srv/plan.json"))
    export(on, *plans)
    good, bad = on.hosts.values()
    # Something takes stunnel's place in the moment when the old listener goes.
    before = state(bad.mail)
    done = on.play("playbook.yml")
    assert done
