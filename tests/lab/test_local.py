"""`mailseal local` on a booted host tells everything apart: super-servers, a daemon of its own, one
network namespace and another, loopback, a stopped socket; and as nobody it says what it cannot see.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab import Lab, missing
from mailseal import bundle
from mailseal.model import codec
from mailseal.model.local import LocalHost, Source
from tests.lab.story import Scene, mailseal, ran, scene, sealed, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.xdist_group("local")]

_UNIT = "[Service]\nExecStart=/usr/local/sbin/ipop2d --listen %s\n"
_SOCKET = "[Socket]\nListenStream=%s\nAccept=yes\n[Install]\nWantedBy=sockets.target\n"
_SERVED = "[Service]\nExecStart=-/usr/local/sbin/ipop2d\nStandardInput=socket\n"
FILES = {
    "alone.service": _UNIT % "192.0.2.10:110",
    "within.service": _UNIT % "0.0.0.0:143" + "PrivateNetwork=yes\n",
    "named.service": _UNIT % "0.0.0.0:993" + "NetworkNamespacePath=/run/netns/blue\n",
    "activated.socket": _SOCKET % "127.0.0.1:995",
    "activated@.service": _SERVED,
    "stopped.socket": _SOCKET % "4190",
    "stopped@.service": _SERVED,
}
_START = """
ip netns add blue
systemctl daemon-reload
systemctl start alone within named activated.socket
systemctl enable stopped.socket
"""


@pytest.fixture(scope="module")
def on() -> Iterator[Scene]:
    """A host with POP2 by inetd, and one listener of each other kind."""
    reasons = missing()
    if reasons:
        pytest.skip("; ".join(reasons))
    with Lab() as lab:
        made = scene(lab, "bookworm", "inetd")
        for name, content in FILES.items():
            content = content.replace("192.0.2.10", made.mail.ipv4)
            made.mail.write("/etc/systemd/system/" + name, content.encode())
        made.mail.run(["sh", "-ec", _START])
        wait_until(lambda: len(listeners(made)) == 7)
        yield made


def listeners(on: Scene, *words: str, user: str | None = None) -> list[dict[str, Any]]:
    done = mailseal(on.mail, "local", "--format", "ndjson", *words, user=user)
    assert done.code == 0, done.said
    return [json.loads(line) for line in done.out.splitlines()]


def test_every_listener_is_told_apart(on: Scene):
    told = sorted(
        (
            each["address"].replace(on.mail.ipv4, "IPV4"),
            *(each[name] for name in ("port", "extent", "owner", "listening", "service")),
            *(each[name] for name in ("unit", "socket_unit")),
        )
        for each in listeners(on)
    )
    assert told == [
        ("0.0.0.0", 109, "everywhere", "", True, "inetd", "inetd.service", ""),
        ("0.0.0.0", 143, "namespace", "within.service", True, "", "within.service", ""),
        ("0.0.0.0", 993, "namespace", "netns blue", True, "", "named.service", ""),
        ("127.0.0.1", 995, "loopback", "", True, "systemd", "", "activated.socket"),
        ("::", 109, "everywhere", "", True, "inetd", "inetd.service", ""),
        ("::", 4190, "everywhere", "", False, "systemd", "", "stopped.socket"),
        ("IPV4", 110, "address", "", True, "", "alone.service", ""),
    ]


def test_each_has_the_line_that_causes_it(on: Scene):
    found = {(each["address"], each["port"]): each for each in listeners(on)}
    units = "/etc/systemd/system/"
    assert {
        port: (each["source"]["file"], each["source"]["line"], each["source"]["text"])
        for (address, port), each in found.items()
        if port not in (109, 110)
    } == {
        143: (units + "within.service", 2, FILES["within.service"].splitlines()[1]),
        993: (units + "named.service", 2, FILES["named.service"].splitlines()[1]),
        995: (units + "activated.socket", 2, "ListenStream=127.0.0.1:995"),
        4190: (units + "stopped.socket", 2, "ListenStream=4190"),
    }
    four, six = (found[address, 109]["source"] for address in ("0.0.0.0", "::"))
    assert four["file"] == six["file"] == "/etc/inetd.conf"
    assert (four["text"].split()[2], six["text"].split()[2]) == ("tcp", "tcp6")
    conf = on.mail.read("/etc/inetd.conf").decode().splitlines()
    assert conf[four["line"] - 1].split() == four["text"].split()


def test_processes_users_and_packages(on: Scene):
    inetd = next(each for each in listeners(on) if each["port"] == 109)
    (process,) = inetd["processes"]
    pid = ran(on.mail, "systemctl", "show", "--value", "-p", "MainPID", "inetd").out.strip()
    assert (process["pid"], process["name"], process["user"]) == (int(pid), "inetd", "root")
    version = ran(on.mail, "dpkg-query", "-W", "-f=${Version}", "openbsd-inetd").out
    assert inetd["programs"] == [
        {"path": "/usr/sbin/inetd", "package": "openbsd-inetd", "version": version},
        {"path": "/usr/local/sbin/ipop2d", "package": "", "version": ""},
    ]
    assert inetd["gaps"] == []


def test_every_socket_that_ss_sees(on: Scene):
    seen = {(address, port) for kind, address, port, _ in on.mail.listeners() if kind == "tcp"}
    found = listeners(on, "--all")
    own = [each for each in found if each["extent"] != "namespace" and each["listening"]]
    assert {
        ("*" if each["family"] == "both" else each["address"], each["port"]) for each in own
    } == seen


def test_nobody_is_told_what_cannot_be_seen(on: Scene):
    found = listeners(on, user="nobody")
    assert {each["port"] for each in found if each["listening"]} == {109, 110, 995}
    for each in found:
        if each["listening"]:
            assert each["processes"] == []
            assert each["user"] == "root"
            assert each["gaps"] == ["process, package, unit and configuration: not told: not root"]
    done = mailseal(on.mail, "local", user="nobody")
    assert "other network namespaces, processes of others: not told: not root" in done.out


def test_a_look_at_each_says_who_takes_a_password(on: Scene):
    done = mailseal(on.mail, "local", "--look", "--format", "json")
    assert done.code == 1, done.said
    results = json.loads(done.out)["results"]
    exposed = {
        (each["endpoint"]["address"], each["endpoint"]["port"])
        for each in results
        if each["verdict"] == "exposed"
    }
    assert {("127.0.0.1", 109), ("::1", 109)} <= exposed


def test_the_text_is_for_reading(on: Scene):
    out = sealed(on.mail, "local")
    assert "0.0.0.0:109  all addresses" in out
    assert "0.0.0.0:143  the network of within.service" in out
    assert "[::]:4190  configured, not listening" in out
    assert "mailhost: 6 listening, 1 configured and not listening" in out


def test_a_stopped_super_server_shows_in_what_it_would_open(on: Scene):
    on.mail.run(["systemctl", "stop", "inetd"])
    try:
        silent = [each for each in listeners(on) if each["port"] == 109]
        assert [(each["address"], each["listening"]) for each in silent] == [
            ("0.0.0.0", False),
            ("::", False),
        ]
        assert all(each["source"]["file"] == "/etc/inetd.conf" for each in silent)
    finally:
        on.mail.run(["systemctl", "start", "inetd"])
        on.mail.wait_listening(109)


def test_the_agent_alone_tells_it_on_debian_11(lab: Lab):
    mail = lab.host("mailhost", system="bullseye", network=lab.network())
    mail.write("/srv/mailseal.pyz", bundle.build())
    mail.install_pop2d("xinetd")
    said = ran(mail, "python3", "-I", "/srv/mailseal.pyz", "local")
    assert said.code == 0, said.err
    host = codec.loads(LocalHost, said.out, lenient=False)
    (found,) = host.listeners
    assert (found.port, found.family, found.service) == (109, "both", "xinetd")
    assert found.source == Source("/etc/xinetd.d/pop2", 1, "service pop2 {")
    assert [each.package for each in found.programs] == ["xinetd", ""]
    assert host.unread == {}
