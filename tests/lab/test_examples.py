"""What the docs show and only other hosts can answer, typed on booted hosts: the examples of the
help, the session of the README, and the pages' lines and settings that no console block shows.

Strategy: the lines are a table (tests/docs/story.py). A mail host with POP2, a desk that reaches it
by ssh, a gateway, a host with Dovecot and one with Postfix; each line is typed as it stands, by a
shell on a terminal, where questions are answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from lab import Host, Lab
from lab.daemons import DAEMONS, install
from tests.docs.story import AGAIN, BESIDE, EXPOSED, SEALED, Line
from tests.lab.story import NAME, PROGRAM, ROOT, desk, install_stunnel, scene

HOME = "/root"
RUN = r"\d{6}-\d{8}T\d{6}"
ANSWERS = {r"Password of \w+: $": "not that one\n", r"\[y/N\]: $": "y\n"}
SECONDS = 110.0
"""For one line."""
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": HOME,
    "TERM": "xterm",
    "NO_COLOR": "1",
    "LC_ALL": "C.UTF-8",
    "COLUMNS": "110",
}
_RECORDED = ROOT / "tests/logs/recorded"
_OPEN = (ROOT / "tests/lint/stunnel-client-open/bad.stunnel.conf").read_bytes()
_SUDO = b'#!/bin/sh\nexec "$@"\n'
_TRUSTED = ("192.0.2.99", "2001:db8:1::99")
_BUSY = """
while sleep 1; do
    exec 3<>/dev/tcp/mailhost/109
    printf 'HELO alice x\\r\\n' >&3
    timeout 1 head -n 2 <&3 >/dev/null
    exec 3>&-
    tail -n 9 /var/log/mail.log.1 >>/var/log/mail.log
done
"""
"""Somebody logs in in cleartext, and a log grows."""
_NAMES = b"""
import socket, dns.message, dns.rcode, dns.rrset
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.bind(("127.0.0.1", 53))
while True:
    data, peer = wire.recvfrom(4096)
    asked = dns.message.from_wire(data)
    answer = dns.message.make_response(asked)
    if asked.question[0].to_text() == "example.org. IN MX":
        name = asked.question[0].name
        answer.answer.append(dns.rrset.from_text(name, 60, "IN", "MX", "10 mail.example."))
    else:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    wire.sendto(answer.to_wire(), peer)
"""
_FOLDERS = """
cd
mkdir -p roles playbooks /etc/stunnel /etc/mailseal /var/log/stunnel4 \\
    /var/lib/node_exporter /etc/systemd/system/mailseal-watch.service.d
ip -6 route add 2001:db8::/64 dev eth0
"""


def shown(page: Path, kind: str) -> str:
    """The page's one block of a kind."""
    (block,) = re.findall(rf"```{kind}\n(.*?)```", page.read_text(), re.DOTALL)
    return str(block)


class Stage:
    """The hosts, by the names that the story has for them."""

    def __init__(self, lab: Lab) -> None:
        on = scene(lab, "bookworm", "inetd")
        home = desk(on)
        self.scene = on
        self.hosts = {"mail": on.mail, "desk": home}
        self.typed = 0
        self.wrong: list[str] = []
        install_stunnel(on.mail)
        on.mail.write("/usr/local/bin/sudo", _SUDO, mode=0o755)

    def type(self, line: Line) -> str:
        """What the terminal showed."""
        host, text = self.hosts[line.at], line.text
        self.typed += 1
        if re.search(RUN, text):
            runs = re.findall(RUN, host.run(["mailseal", "runs"]).stdout.decode())
            text = re.sub(RUN, runs[-1], text)
        asked = {
            "command": ["bash", "-c", text],
            # What a watch has told, it does not tell again.
            "env": {**_ENVIRONMENT, "XDG_STATE_HOME": f"/run/typed/{self.typed}"},
            "answers": ANSWERS,
            "until": line.until,
            "cwd": HOME,
            "seconds": SECONDS,
        }
        words = ["python3", "-I", "/srv/mailseal/tests/cli/terminal.py"]
        done = host.run(words, input=json.dumps(asked).encode(), timeout=SECONDS + 20)
        code, said = json.loads(done.stdout)
        report = f"{line.at}$ {line.text}\n{said}= {code}\n"
        print(report)
        if code != line.code or "Traceback" in said:
            self.wrong.append(report)
        return str(said)

    def tell(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.type(line)

    def session(self) -> None:
        """The README's, and all that it shows."""
        for part in shown(ROOT / "README.md", "console").split("$ ")[1:]:
            command, _, wanted = part.partition("\n")
            said = self.type(Line("desk", command, int(" scan " in command)))
            # Progress is wiped off the line before what stays.
            said = re.sub(r"(?m)^.*\x1b\[K", "", said)
            if not re.search(pattern(wanted), said, re.MULTILINE):
                self.wrong.append(f"README: {command}: shown was\n{said}")


def pattern(block: str) -> str:
    """Of what a page shows: lines that follow one another; `...` is what it leaves out, and runs
    have other names.
    """
    made = ""
    for line in block.splitlines():
        words = [
            re.escape(word).replace(r"\.\.\.", ".*") if not re.fullmatch(RUN, word) else RUN
            for word in line.split()
        ]
        made += "(?:.*\n)*?" if words == [".*"] else r"^ *" + " +".join(words) + "$\n?"
    return made


def furnish(home: Host, mail: Host) -> None:
    """What the lines that are typed there read, and somebody who logs in meanwhile."""
    page = ROOT / "docs/howto/keep-watch.md"
    alerts, drop_in = shown(page, "toml"), shown(page, "ini")
    (credential,) = re.findall(r"# in alerts.toml: (secret-file = .*)", drop_in)
    home.run(["env", f"HOME={HOME}", "sh", "-ec", _FOLDERS])
    home.write("/etc/hosts", home.read("/etc/hosts") + f"{mail.ipv4} mailhost\n".encode())
    mail.run(["mkdir", "-p", "/etc/stunnel"])
    mail.write("/etc/stunnel/pop2.conf", _OPEN)
    for name, content in {
        f"{HOME}/hosts.txt": b"mail.example\n",
        f"{HOME}/ours.txt": b"192.0.2.0/24\n",
        f"{HOME}/lab.toml": b"",
        f"{HOME}/policy.toml": b"certificate-days = 30\n",
        f"{HOME}/alerts.toml": alerts.encode(),
        f"{HOME}/roles/stunnel.conf": _OPEN,
        "/etc/stunnel/pop2.conf": _OPEN,
        "/etc/mailseal/targets": b"mail.example:109\n",
        "/etc/mailseal/policy.toml": b"",
        "/etc/mailseal/alerts.toml": re.sub("secret-file = .*", credential, alerts).encode(),
        "/etc/systemd/system/mailseal-watch.service.d/override.conf": drop_in.encode(),
        "/etc/resolv.conf": b"nameserver 127.0.0.1\n",
        "/var/log/mail.log": (_RECORDED / "postfix.log").read_bytes(),
        "/var/log/mail.log.1": (_RECORDED / "dovecot-2.3.log").read_bytes(),
        "/var/log/stunnel4/stunnel.log": (_RECORDED / "stunnel.log").read_bytes(),
        "/var/log/syslog": b"",
        "/srv/names": _NAMES,
    }.items():
        home.write(name, content)
    home.write("/etc/mailseal/hook.secret", b"secret\n", 0o600)
    (folder,) = (ROOT / ".venv/lib").glob("python3*/site-packages")
    packages = Path("/srv/mailseal") / folder.relative_to(ROOT)
    start = ["systemd-run", "--quiet", f"--setenv=PYTHONPATH={packages}"]
    home.run([*start, "python3", "/srv/names"])
    home.run([*start, "--unit=busy", "bash", "-c", _BUSY])


def add_others(stage: Stage) -> None:
    """A gateway, where the mail host is one with Dovecot; and a host with Postfix."""
    on, home = stage.scene, stage.hosts["desk"]
    binds = {ROOT: "/srv/mailseal"}
    systems = ("bookworm", DAEMONS["dovecot-2.3"].system, DAEMONS["postfix"].system)
    gateway, box, post = (
        on.lab.host(name, system=system, network=on.net, binds=binds)
        for name, system in zip(("gateway", "box", "post"), systems, strict=True)
    )
    install(box, DAEMONS["dovecot-2.3"], "permitted", _TRUSTED)
    install(post, DAEMONS["postfix"], "permitted", _TRUSTED)
    box.install_pop2d("standalone", "--bad-login-delay 0")
    box.run(["ip", "address", "add", "192.0.2.5/24", "dev", "eth0"])
    install_stunnel(gateway)
    names = f"{box.ipv4} {NAME}\n{box.ipv6} {NAME}\n".encode()
    for host in (gateway, box, post):
        host.write("/etc/hosts", host.read("/etc/hosts") + names)
        host.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
        host.write("/usr/local/bin/sudo", _SUDO, mode=0o755)
    gateway.run(["mkdir", "-p", "-m", "700", f"{HOME}/.ssh"])
    config = f"Host gateway outside\n HostName {gateway.ipv4}\n StrictHostKeyChecking accept-new\n"
    for name, content in (
        (".ssh/config", config.encode()),
        (".ssh/authorized_keys", home.read(f"{HOME}/.ssh/id_ed25519.pub")),
        (".ssh/id_ed25519", home.read(f"{HOME}/.ssh/id_ed25519")),
        ("alice.txt", on.lab.account.password.encode() + b"\n"),
    ):
        gateway.write(f"{HOME}/{name}", content, 0o600)
    gateway.run(["systemctl", "start", "ssh"])
    stage.hosts |= {"outside": gateway, "box": box, "post": post}


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_the_docs_show_works_as_typed(lab: Lab) -> None:
    stage = Stage(lab)
    home = stage.hosts["desk"]
    furnish(home, stage.scene.mail)
    stage.tell(EXPOSED)
    home.run(["systemctl", "stop", "busy", "mailseal-watch"])
    stage.session()
    stage.tell(SEALED)
    assert not stage.wrong, "\n".join(stage.wrong)


@pytest.mark.lab
@pytest.mark.soak
@pytest.mark.timeout(400)
def test_the_rest_of_it_works_as_typed(lab: Lab) -> None:
    stage = Stage(lab)
    add_others(stage)
    stage.tell((*AGAIN, *BESIDE))
    assert not stage.wrong, "\n".join(stage.wrong)
