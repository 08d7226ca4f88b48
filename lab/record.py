"""What the real daemons answer, written down: `<folder>/<protocol>/<daemon>-<setting>[-<who>].txt`;
and logins as captures and logs show them: `<folder>/<daemon>.pcap`, `.log` and `.truth.json`.

Strategy: each daemon in each setting is asked the same questions (`lab.questions`), in cleartext,
after the upgrade and in TLS from the first octet; by a stranger, and where the answer may depend on
who asks, by the trusted neighbour and by the host itself, at its own address. All endpoints of a
setting are asked side by side: some daemons make who fails wait.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import Client, Host, Lab
from lab.daemons import DAEMONS, ODD, Daemon, install
from lab.images import SYSTEMS, LabError
from lab.sessions import make
from lab.truth import write

_SCRIPT = Path(__file__).with_name("questions.py")
_INSIDE = "/usr/local/lib/questions.py"
_SECONDS = 240.0

Asked = Callable[..., str]
"""The transcript of the session (protocol, address, port, how)."""


def version(host: Host, daemon: Daemon) -> str:
    """The package a daemon came in, with its version."""
    stem = daemon.system.rstrip("0123456789")
    package = next(each for each in SYSTEMS[daemon.system].packages if each.startswith(stem))
    told = host.run(["dpkg-query", "-W", "-f", "${Package} ${Version}", package])
    return told.stdout.decode()


def by_client(client: Client) -> Asked:
    def asked(*words: str) -> str:
        command = [sys.executable, "-I", str(_SCRIPT), *words]
        return client.run(command, timeout=_SECONDS).stdout.decode()

    return asked


def by_host(host: Host) -> Asked:
    """From the mail host itself."""
    host.write(_INSIDE, _SCRIPT.read_bytes())

    def asked(*words: str) -> str:
        command = ["python3", "-I", _INSIDE, *words]
        return host.run(command, timeout=_SECONDS).stdout.decode()

    return asked


def sessions(daemon: Daemon) -> Iterator[tuple[str, int, str]]:
    """Protocol, port and how of what is asked: the standard ports, in every way they have."""
    for service in daemon.services:
        if service.implicit:
            yield service.protocol, service.port, "implicit"
        elif service.port < ODD and service.port != 587:  # 587 is 25 once more
            yield service.protocol, service.port, "clear"
            yield service.protocol, service.port, "upgrade"


_TITLES = {
    "clear": "port %d, in cleartext",
    "upgrade": "port %d, from cleartext into TLS",
    "implicit": "port %d, in TLS from the first octet",
}


def record(name: str, folder: Path) -> Iterator[Path]:
    """The files written for the daemon `name` of `lab.daemons`. LabError if there is none."""
    daemon = DAEMONS.get(name)
    if daemon is None:
        raise LabError(f"no daemon {name!r}: choose from {', '.join(DAEMONS)}")
    with Lab() as lab, ThreadPoolExecutor(8) as pool:
        net = lab.network()
        host = lab.host("mailhost", system=daemon.system, network=net)
        stranger, trusted = lab.client(net, "stranger"), lab.client(net, "trusted")
        package = version(host, daemon)
        everyone = {
            "stranger": by_client(stranger),
            "trusted": by_client(trusted),
            "self": by_host(host),
        }
        for setting in daemon.settings:
            install(host, daemon, setting, (trusted.ipv4, trusted.ipv6))
            # Some start their parts when somebody comes, which is not what is to be seen.
            for service in daemon.services:
                if not service.implicit:
                    everyone["stranger"](service.protocol, host.ipv4, str(service.port), "greet")
            places = ["stranger"]
            places += ["trusted"] if setting == "outside" else []
            places += ["self"] if setting != "permitted" else []
            asked = {
                (who, protocol, port, how): pool.submit(
                    everyone[who], protocol, host.ipv4, str(port), how
                )
                for who in places
                for protocol, port, how in sessions(daemon)
            }
            texts: dict[tuple[str, str], str] = {}
            for (who, protocol, port, how), said in asked.items():
                opening = f"# {package}, {setting}, asked by {who}, {protocol}\n"
                texts.setdefault((who, protocol), opening)
                texts[who, protocol] += f"# -- {_TITLES[how] % port}\n{said.result()}"
            for (who, protocol), text in texts.items():
                end = "" if who == "stranger" else f"-{who}"
                path = folder / protocol / f"{name}-{setting}{end}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                yield path


def record_logins(name: str, folder: Path) -> Iterator[Path]:
    """The files written of a brief session with the daemon `name` of `lab.sessions`: its packets,
    its log and what was done, with the passwords, which are nobody's. LabError if there is none.
    """
    session = make(name, brief=True)
    log = session.logs.get("mail.log") or next(iter(session.logs.values()))
    truth = write(session.truths, session.secrets).encode()
    for suffix, content in (("pcap", session.capture), ("log", log), ("truth.json", truth)):
        path = folder / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        yield path
