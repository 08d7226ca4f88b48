"""Every command that the howto pages show is run as typed, on booted hosts, page by page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lab import Lab

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    # From files: no booted host is needed.
    "start-from-a-report": "cli/test_imports.py",
    "scan-an-estate": "cli/test_scan_at_scale.py",
    "listen-on-the-wire": "cli/test_wire.py",
    "who-still-uses-cleartext": "cli/test_logs.py",
    "lint-configurations": "cli/test_lint.py",
    "other-systems": "cli/test_runbook.py",
    "keep-a-policy": "cli/test_check.py",
    # On other hosts than the one here.
    "approve-a-change": "lab/test_change_control.py",
    "enforce-in-the-daemon": "lab/test_native.py",
    "from-finding-to-ticket": "lab/test_verify.py",
    "let-a-network-stay": "lab/test_except.py",
    "put-a-gateway-in-front": "lab/test_gateway.py",
    "put-tls-in-front": "lab/test_wrap.py",
    "rehearse-a-plan": "lab/test_rehearse.py",
    "renew-certificates": "lab/test_renewal.py",
    "seal-a-fleet-with-ansible": "lab/test_ansible.py",
    "use-your-scanner": "lab/test_scanners.py",
    "verify-a-fix": "lab/test_verify.py",
    "what-needs-patching": "lab/test_updates.py",
}
"""Pages whose commands another test runs, and which."""
PAGES = sorted(
    page for page in (ROOT / "docs" / "howto").glob("*.md") if page.stem not in ELSEWHERE
)
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_CLIENT = re.compile(r"```ini\n(foreground = yes\n.*?)```", re.DOTALL)
_EXPOSED = 1
"""A look says by its exit code that it found something; each page looks before it seals."""
_LOOKS = (["mailseal", "scan"], ["mailseal", "watch"])


def commands(page: Path) -> list[str]:
    """The lines behind a `$` of the page's console blocks."""
    lines = [line for block in _BLOCK.findall(page.read_text()) for line in block.splitlines()]
    return [line[2:] for line in lines if line.startswith("$ ")]


@pytest.mark.lab
@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda page: page.stem)
def test_the_commands_of_a_page_work_as_typed(page: Path, lab: Lab) -> None:
    network = lab.network()
    mail = lab.host("mailhost", system="bookworm", network=network)
    mail.install_pop2d("inetd", "--bad-login-delay 0")
    mail.wait_listening(109)
    desk = lab.host("desk", system="workstation", network=network, binds={ROOT: "/srv/mailseal"})
    desk.run(["sh", "-c", _SSH % (mail.ipv4, mail.ipv4)])
    mail.run(["mkdir", "-p", "-m", "700", "/root/.ssh"])
    mail.write("/root/.ssh/authorized_keys", desk.read("/root/.ssh/id_ed25519.pub"), mode=0o600)
    mail.run(["systemctl", "start", "ssh"])
    desk.write("/usr/local/bin/mailseal", _PROGRAM, mode=0o755)
    for number, command in enumerate(commands(page)):
        words = shlex.split(command)
        done = desk.run(["env", "-C", "/root", "HOME=/root", *words], check=False, timeout=200)
        expected = _EXPOSED if number == 0 and words[:2] in _LOOKS else 0
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == expected, "%s\n%s" % (command, said)
    for section in _CLIENT.findall(page.read_text()):
        desk.write("/srv/client.conf", section.encode())
        assert desk.run(["sh", "-ec", _GREETED], timeout=100).stdout.startswith(b"+ POP2")


_SSH = """
mkdir -p -m 700 /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
printf 'Host mailhost\\n HostName %s\\n User root\\n StrictHostKeyChecking accept-new\\n' \
    >/root/.ssh/config
echo '%s mailhost mail.example' >>/etc/hosts
"""

_GREETED = """
DEBIAN_FRONTEND=noninteractive apt-get -qq -y install stunnel4 >/dev/null 2>&1
cd /root
cp ca.crt /etc/ssl/mailseal-ca.crt
stunnel /srv/client.conf </dev/null >/dev/null 2>&1 &
trap "kill $!" EXIT
python3 -c 'if 1:
    import socket, time
    for left in range(100, -1, -1):
        try:
            wire = socket.create_connection(("127.0.0.1", 109), 20)
            break
        except ConnectionRefusedError:
            if not left:
                raise
            time.sleep(0.1)
    print(wire.recv(99).decode())'
"""

_PROGRAM = b"""#!/bin/sh
PYTHONPATH=/srv/mailseal/src:$(echo /srv/mailseal/.venv/lib/python3*/site-packages)
export PYTHONPATH
exec python3 -m mailseal "$@"
"""
