"""The listeners of a host as text: grouped by service, whole, and harmless."""

from dataclasses import replace

from mailseal.model.local import (
    Extent,
    Holder,
    LocalHost,
    LocalListener,
    Program,
    Source,
)
from mailseal.report.local import text

LISTENER = LocalListener(
    address="::",
    port=109,
    family="both",
    extent=Extent.EVERYWHERE,
    listening=True,
    owner="",
    inode=42,
    uid=0,
    user="root",
    processes=(Holder(400, "inetd", "/usr/sbin/inetd", False, 0, "root"),),
    service="inetd",
    programs=(
        Program("/usr/sbin/inetd", "openbsd-inetd", "0.20221205-2"),
        Program("/usr/local/sbin/ipop2d", "", ""),
    ),
    unit="inetd.service",
    socket_unit="",
    source=Source("/etc/inetd.conf", 2, "109 stream tcp46 nowait root /usr/local/sbin/ipop2d"),
    gaps=(),
)


def host(*listeners: LocalListener, **unread: str) -> LocalHost:
    return LocalHost("mail", "2026-01-15T12:00:00.000Z", True, listeners, unread)


def test_a_listener_from_the_socket_to_the_line():
    assert list(text(host(LISTENER))) == [
        "inetd",
        "  [::]:109  all addresses, IPv4 and IPv6",
        "    process   inetd (400), root, /usr/sbin/inetd",
        "    program   /usr/sbin/inetd, openbsd-inetd 0.20221205-2",
        "              /usr/local/sbin/ipop2d, of no package",
        "    unit      inetd.service",
        "    cause     /etc/inetd.conf:2: 109 stream tcp46 nowait root /usr/local/sbin/ipop2d",
        "",
        "mail: 1 listening",
    ]


def test_what_could_not_be_told_is_said():
    unseen = replace(
        LISTENER,
        processes=(),
        service="",
        programs=(),
        unit="",
        source=None,
        gaps=("process: not told: not root",),
    )
    lines = list(text(host(unseen, networks="not told: not root")))
    assert lines[0] == "other programs"
    assert "    user      root" in lines
    assert "    not told  process: not told: not root" in lines
    assert "  not read  networks: not told: not root" in lines


def test_where_it_can_be_reached_and_what_is_silent():
    spaces = (
        replace(LISTENER, address="127.0.0.1", family="ipv4", extent=Extent.LOOPBACK),
        replace(LISTENER, address="192.0.2.1", family="ipv4", extent=Extent.ADDRESS),
        replace(LISTENER, extent=Extent.CONTAINER, owner="docker 0123456789ab"),
        replace(LISTENER, owner="docker 0123456789ab"),
        replace(LISTENER, extent=Extent.NAMESPACE, owner="netns blue", family="ipv6"),
        replace(LISTENER, listening=False, processes=()),
    )
    lines = list(text(host(*spaces)))
    assert [line for line in lines if ":109  " in line] == [
        "  127.0.0.1:109  this host alone",
        "  192.0.2.1:109  this address",
        "  [::]:109  the network of docker 0123456789ab, IPv4 and IPv6",
        "  [::]:109  all addresses, held by docker 0123456789ab, IPv4 and IPv6",
        "  [::]:109  the network of netns blue",
        "  [::]:109  configured, not listening",
    ]
    assert lines[-1] == "mail: 5 listening, 1 configured and not listening"


def test_a_hostile_name_does_nothing_to_a_terminal():
    evil = "\x1b[2J\n\u202e"
    hostile = replace(
        LISTENER,
        owner=evil,
        service=evil,
        unit=evil,
        socket_unit=evil,
        address=evil,
        processes=(Holder(1, evil, evil, True, 0, evil),),
        programs=(Program(evil, evil, evil),),
        source=Source(evil, 1, evil),
        gaps=(evil,),
    )
    found = LocalHost(evil, "", True, (hostile,), {evil: evil})
    assert all(line.isprintable() for line in text(found))
