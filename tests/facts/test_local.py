"""What a host exposes: every kind of listener told apart, its cause found, and nothing guessed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from mailseal.facts import local
from mailseal.facts.local import gather
from mailseal.model import codec
from mailseal.model.local import Declared, Extent, LocalHost, LocalListener, Program, Source
from mailseal.system.base import Completed, Namespace, Process, Socket
from mailseal.system.live import LiveSystem
from mailseal.system.memory import MemorySystem
from mailseal.system.recorded import RecordedSystem, Recording

INETD_CONF = b"""\
# services
109 stream tcp nowait root /usr/sbin/tcpd /usr/sbin/ipop2d
109 stream tcp6 nowait root /usr/sbin/ipop2d ipop2d
127.0.0.1:110 stream tcp nowait root /usr/sbin/ipop3d ipop3d
"""
CONTAINER = "0123456789ab" + "0" * 52


def process(
    pid: int,
    executable: str,
    unit: str = "",
    program: str = "here",
    cgroup: str = "",
    uid: int = 0,
    arguments: Sequence[str] = (),
) -> Process:
    name = executable.rpartition("/")[2]
    cgroup = cgroup or "0::/system.slice/%s\n" % unit
    user = {0: "root", 8: "mail"}.get(uid, "")
    argv = (executable, *arguments)
    return Process(pid, name, executable, program, uid, user, cgroup, argv)


def socket(
    port: int,
    *holders: Process,
    address: str = "0.0.0.0",
    dual: bool = False,
    namespace: Namespace | None = None,
) -> Socket:
    return Socket(address, port, dual, 4000 + port, 0, "root", holders, namespace)


INETD = process(400, "/usr/sbin/inetd", "inetd.service")
SYSTEMD = process(1, "/usr/lib/systemd/systemd", "init.scope")


class Machine(MemorySystem):
    """A host whose kernel shows these sockets; `systemctl` speaks as that of systemd 252."""

    def __init__(self, *held: Socket) -> None:
        super().__init__()
        self.held = held
        self.said: dict[str, str] = {}
        self.asked: list[tuple[str, ...]] = []
        self.programs["systemctl"] = self._systemctl
        self.put("/proc/self/cgroup", b"0::/user.slice/user-0.slice/session-1.scope\n")

    def sockets(self) -> tuple[Socket, ...]:
        return self.held

    def _systemctl(self, argv: tuple[str, ...], data: bytes) -> Completed:
        self.asked.append(argv)
        key = argv[1] if argv[1] == "list-unit-files" else argv[-1]
        return Completed(argv, 0, self.said.get(key, "").encode(), b"")

    def service(self, unit: str, content: str) -> None:
        path = "/lib/systemd/system/" + unit
        self.put(path, content.encode())
        self.said[unit] = "FragmentPath=%s\nDropInPaths=\n" % path

    def socket_unit(self, unit: str, listen: str, active: bool, state: str, content: str) -> None:
        path = "/etc/systemd/system/" + unit
        self.put(path, content.encode())
        self.said["list-unit-files"] = "%s %s enabled\n" % (unit, state)
        self.said[unit] = (
            "Listen=%s (Stream)\nListen=/run/x.sock (Stream)\nId=%s\nTriggers=\nActiveState=%s\n"
            "FragmentPath=%s\nDropInPaths=\nUnitFileState=%s\n"
        ) % (listen, unit, "active" if active else "inactive", path, state)


def only(host: LocalHost) -> LocalListener:
    (listener,) = host.listeners
    return listener


# -- super-servers ---------------------------------------------------------------------------------


def test_inetd_s_line_is_the_one_of_the_address_and_family():
    machine = Machine(
        socket(109, INETD),
        socket(109, INETD, address="::"),
        socket(110, INETD, address="127.0.0.1"),
    )
    machine.put("/etc/inetd.conf", INETD_CONF)
    found = gather(machine).listeners
    assert [each.source.line for each in found if each.source] == [2, 3, 4]
    assert [each.extent for each in found] == [
        Extent.EVERYWHERE,
        Extent.EVERYWHERE,
        Extent.LOOPBACK,
    ]
    assert {(each.service, each.unit) for each in found} == {("inetd", "inetd.service")}
    assert [[program.path for program in each.programs] for each in found] == [
        ["/usr/sbin/inetd", "/usr/sbin/ipop2d"],
        ["/usr/sbin/inetd", "/usr/sbin/ipop2d"],
        ["/usr/sbin/inetd", "/usr/sbin/ipop3d"],
    ]
    assert all(each.gaps == () for each in found)


def test_xinetd_s_block_is_found_in_an_included_file():
    xinetd = process(401, "/usr/sbin/xinetd", "xinetd.service", arguments=("-dontfork",))
    machine = Machine(socket(109, xinetd, address="::", dual=True))
    machine.put("/etc/xinetd.conf", b"defaults\n{\n}\nincludedir /etc/xinetd.d\n")
    block = "# POP2\nservice pop2\n{\n%s\n}\n"
    attributes = ["type = UNLISTED", "port = 109", "socket_type = stream", "protocol = tcp"]
    attributes += ["flags = IPv6", "wait = no", "user = root", "server = /usr/sbin/ipop2d"]
    machine.put("/etc/xinetd.d/pop2", (block % "\n".join(attributes)).encode())
    machine.put("/etc/xinetd.d/off", (block % "\n".join([*attributes, "disable = yes"])).encode())
    machine.put("/etc/xinetd.d/pop2.bak", (block % "\n".join(attributes)).encode())
    found = only(gather(machine))
    assert found.source == Source("/etc/xinetd.d/pop2", 2, "service pop2 {")
    assert found.family == "both"
    assert found.programs[1].path == "/usr/sbin/ipop2d"


UNIT = "[Unit]\nDescription=POP2\n[Socket]\nListenStream=109\nListenStream=/run/x.sock\n"


def test_systemd_s_socket_unit_and_the_program_behind_it():
    machine = Machine(socket(109, SYSTEMD, address="::", dual=True))
    machine.socket_unit("pop2.socket", "[::]:109", True, "enabled", UNIT)
    machine.put("/etc/systemd/system/pop2@.service", b"[Service]\nExecStart=-/usr/sbin/ipop2d -x\n")
    found = only(gather(machine))
    assert found.source == Source("/etc/systemd/system/pop2.socket", 4, "ListenStream=109")
    assert (found.service, found.unit, found.socket_unit) == ("systemd", "", "pop2.socket")
    assert [each.path for each in found.programs] == [SYSTEMD.executable, "/usr/sbin/ipop2d"]


def test_a_daemon_that_systemd_opened_the_socket_for_is_the_process_that_serves():
    dovecot = process(500, "/usr/sbin/dovecot", "dovecot.service")
    machine = Machine(socket(109, SYSTEMD, dovecot, address="::", dual=True))
    machine.socket_unit("dovecot.socket", "[::]:109", True, "enabled", UNIT)
    found = only(gather(machine))
    assert (found.service, found.unit) == ("dovecot", "dovecot.service")
    assert found.socket_unit == "dovecot.socket"
    assert [each.pid for each in found.processes] == [1, 500]


# -- configured, not listening ---------------------------------------------------------------------


def test_what_a_stopped_super_server_would_open():
    machine = Machine()
    machine.put("/etc/inetd.conf", INETD_CONF + b"7 stream tcp nowait root internal\n")
    machine.socket_unit("imap.socket", "[::]:143", False, "enabled", UNIT)
    found = gather(machine).listeners
    assert [(each.address, each.port, each.service) for each in found] == [
        ("0.0.0.0", 109, "inetd"),
        ("::", 109, "inetd"),
        ("127.0.0.1", 110, "inetd"),
        ("::", 143, "systemd"),
    ]
    assert not any(each.listening for each in found)
    assert [each.extent for each in found][2:] == [Extent.LOOPBACK, Extent.EVERYWHERE]


def test_a_line_whose_port_another_has_taken_is_not_listening():
    stunnel = process(9, "/usr/bin/stunnel4", "mailseal@109.service")
    machine = Machine(socket(109, stunnel))
    machine.put("/etc/inetd.conf", b"109 stream tcp nowait root /usr/sbin/ipop2d ipop2d\n")
    assert [(each.service, each.listening) for each in gather(machine).listeners] == [
        ("stunnel", True),
        ("inetd", False),
    ]


@pytest.mark.parametrize("state", ["disabled", "masked"])
def test_a_socket_unit_that_is_not_to_be_up_is_not_told(state: str):
    machine = Machine()
    machine.socket_unit("imap.socket", "[::]:143", False, state, UNIT)
    assert gather(machine).listeners == ()


# -- daemons ---------------------------------------------------------------------------------------


def test_a_daemon_s_configuration_is_read_with_its_own_arguments():
    dovecot = process(500, "/usr/sbin/dovecot", "dovecot.service", arguments=("-c", "/x/d.conf"))
    machine = Machine(socket(31143, dovecot))
    machine.put("/x/d.conf", b"service imap-login {\ninet_listener imap {\nport = 31143\n}\n}\n")
    found = only(gather(machine))
    assert found.source == Source("/x/d.conf", 3, "port = 31143")


def test_a_command_line_that_names_the_port_is_the_cause():
    one = process(9, "/usr/bin/python3.11", "pop2d.service")
    machine = Machine(socket(109, one), socket(110, one))
    machine.service("pop2d.service", "[Service]\nExecStart=/usr/local/sbin/d --listen :109\n")
    found = {each.port: each for each in gather(machine).listeners}
    line = Source(
        "/lib/systemd/system/pop2d.service", 2, "ExecStart=/usr/local/sbin/d --listen :109"
    )
    assert found[109].source == line
    assert found[110].source is None
    assert found[110].gaps == ("configuration: that of python3.11 is not known to mailseal",)


def test_a_known_daemon_without_a_line_says_so():
    postfix = process(9, "/usr/lib/postfix/sbin/master", "postfix.service")
    found = only(gather(Machine(socket(25, postfix))))
    assert found.gaps == ("configuration: nothing of postfix that could be read names this port",)


def test_an_upgraded_daemon_is_told_as_replaced():
    found = only(gather(Machine(socket(25, process(9, "/usr/sbin/exim4", program="replaced")))))
    assert found.processes[0].replaced
    assert "not of what runs" in found.gaps[-1]


# -- where -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "extent"),
    [
        ("0.0.0.0", Extent.EVERYWHERE),
        ("::", Extent.EVERYWHERE),
        ("192.0.2.10", Extent.ADDRESS),
        ("2001:db8::1", Extent.ADDRESS),
        ("127.0.0.53", Extent.LOOPBACK),
        ("::1", Extent.LOOPBACK),
    ],
)
def test_how_far_an_address_reaches(address: str, extent: Extent):
    found = only(gather(Machine(socket(109, INETD, address=address))))
    assert (found.extent, found.owner) == (extent, "")


DOCKER = "0::/system.slice/docker-%s.scope\n" % CONTAINER


@pytest.mark.parametrize(
    ("inside", "name", "owner", "extent"),
    [
        (process(9, "/usr/sbin/dovecot", cgroup=DOCKER, program="elsewhere"), "",
         "docker 0123456789ab", Extent.CONTAINER),
        (process(9, "/usr/sbin/dovecot", "dovecot.service", program="elsewhere"), "",
         "container of process 9", Extent.CONTAINER),
        (process(9, "/usr/sbin/dovecot", "dovecot.service"), "blue", "netns blue",
         Extent.NAMESPACE),
        (process(9, "/usr/sbin/dovecot", "dovecot.service"), "", "dovecot.service",
         Extent.NAMESPACE),
        (process(9, "/usr/sbin/dovecot", cgroup="0::/\n"), "", "process 9", Extent.NAMESPACE),
    ],
)  # fmt: skip
def test_whose_another_network_is(inside: Process, name: str, owner: str, extent: Extent):
    machine = Machine(socket(143, inside, namespace=Namespace(2, name, inside)))
    machine.put("/etc/dovecot/dovecot.conf", b"protocols = imap\n")
    found = only(gather(machine))
    assert (found.owner, found.extent) == (owner, extent)
    # The host's own configuration says nothing of a container's daemon.
    assert (found.source is None) is (extent is Extent.CONTAINER)
    assert (found.programs == ()) is (extent is Extent.CONTAINER)


def test_a_container_on_the_host_s_network_is_told_as_such():
    inside = process(9, "/usr/sbin/dovecot", cgroup=DOCKER, program="elsewhere", uid=8)
    found = only(gather(Machine(socket(143, inside))))
    assert (found.extent, found.owner) == (Extent.EVERYWHERE, "docker 0123456789ab")
    assert found.processes[0].user == found.user == ""
    assert "its files are the container's" in found.gaps[0]


def test_inside_a_container_its_own_listeners_are_the_host_s():
    inside = process(9, "/usr/sbin/dovecot", cgroup=DOCKER)
    machine = Machine(socket(143, inside))
    machine.put("/proc/self/cgroup", DOCKER.encode())
    assert only(gather(machine)).owner == ""


# -- what cannot be seen ---------------------------------------------------------------------------


def test_without_root_nothing_is_guessed():
    machine = Machine(socket(109))
    machine.put("/etc/inetd.conf", INETD_CONF)
    machine.user = 1000
    host = gather(machine)
    found = next(each for each in host.listeners if each.listening)
    assert not host.privileged
    assert (found.service, found.source, found.processes, found.unit) == ("", None, (), "")
    assert found.user == "root"
    assert found.gaps == ("process, package, unit and configuration: not told: not root",)
    # The listener may be either of inetd's, so of neither is it said that it does not listen.
    assert [each.port for each in host.listeners] == [109, 110]
    assert "not root" in "".join(host.unread.values())


def test_what_systemd_says_it_has_open_is_told_to_everybody():
    machine = Machine(socket(109, address="::"))
    machine.socket_unit("pop2.socket", "[::]:109", True, "enabled", UNIT)
    machine.user = 1000
    assert only(gather(machine)).socket_unit == "pop2.socket"
    machine.socket_unit("pop2.socket", "[::]:109", False, "enabled", UNIT)
    assert only(gather(machine)).socket_unit == ""


def test_a_socket_of_the_kernel_s_says_that_no_process_shows():
    assert "the kernel itself" in only(gather(Machine(socket(109)))).gaps[0]


def test_a_machine_that_answers_nothing_is_all_gaps():
    host = gather(RecordedSystem(Recording({})))
    assert host.listeners == ()
    assert "listening sockets" in host.unread


# -- choice, bounds --------------------------------------------------------------------------------


def test_which_listeners_are_told():
    web = process(7, "/usr/sbin/nginx", "nginx.service")
    odd = process(8, "/usr/sbin/dovecot", "dovecot.service")
    machine = Machine(socket(80, web), socket(10143, odd), socket(995, web))
    assert [each.port for each in gather(machine).listeners] == [10143, 995]
    assert [each.port for each in gather(machine, (80,)).listeners] == [80, 10143, 995]
    assert [each.port for each in gather(machine, every=True).listeners] == [80, 10143, 995]


def test_a_mail_daemon_behind_a_super_server_counts_on_any_port():
    machine = Machine(socket(7, INETD), socket(1109, INETD))
    machine.put(
        "/etc/inetd.conf",
        b"7 stream tcp nowait root internal\n"
        b"1109 stream tcp nowait root /usr/sbin/tcpd ipop2d\n"
        b"1110 stream tcp nowait root /usr/sbin/ipop3d ipop3d\n"
        b"13 stream tcp nowait root internal\n",
    )
    assert [(each.port, each.listening) for each in gather(machine).listeners] == [
        (1109, True),
        (1110, False),
    ]


def test_packages_are_asked_for_once():
    asked = []

    def dpkg(argv: tuple[str, ...], data: bytes) -> Completed:
        asked.append(argv[1])
        out = {"-S": b"openbsd-inetd: /usr/sbin/inetd\n", "-W": b"openbsd-inetd 1\n"}
        return Completed(argv, 0, out[argv[1]], b"")

    machine = Machine(*(socket(port, INETD) for port in (109, 110, 143)))
    machine.put("/usr/bin/dpkg-query", b"")
    machine.programs["dpkg-query"] = dpkg
    found = gather(machine).listeners
    assert {each.programs for each in found} == {
        (Program("/usr/sbin/inetd", "openbsd-inetd", "1"),)
    }
    assert asked == ["-S", "-W"]


def test_many_listeners_of_one_service_ask_systemd_once():
    one = process(9, "/usr/bin/python3.11", "many.service")
    machine = Machine(*(socket(port, one) for port in range(10000, 14000)))
    began = time.monotonic()
    assert len(gather(machine, every=True).listeners) == 4000
    assert len([argv for argv in machine.asked if argv[-1] == "many.service"]) == 1
    assert time.monotonic() - began < 5


def test_gathering_changes_nothing():
    machine = Machine(socket(109, INETD))
    machine.put("/etc/inetd.conf", INETD_CONF)
    before, points = machine.snapshot(times=True), machine.points
    gather(machine)
    assert (machine.snapshot(times=True), machine.points) == (before, points)


def test_it_reads_back():
    machine = Machine(socket(109, INETD))
    machine.put("/etc/inetd.conf", INETD_CONF)
    host = gather(machine)
    assert codec.loads(LocalHost, codec.dumps(host), lenient=False) == host


def test_the_arguments_of_a_process_are_not_told():
    secret = process(9, "/usr/sbin/dovecot", arguments=("-o", "key=hunter2"))
    assert "hunter2" not in codec.dumps(gather(Machine(socket(143, secret))))


LINE = Source("/x", 1, "x")


@pytest.mark.parametrize(
    ("hosts", "address", "dual", "chosen"),
    [
        (("", "192.0.2.1"), "192.0.2.1", False, 1),
        (("192.0.2.2", ""), "192.0.2.1", False, 1),
        (("::", "0.0.0.0"), "0.0.0.0", False, 1),
        (("0.0.0.0",), "::", True, 0),
        (("0.0.0.0",), "::", False, None),
        (("mail.example", "192.0.2.2"), "192.0.2.1", False, 0),
        (("0:0::1",), "::1", False, 0),
        ((), "::1", False, None),
    ],
)
def test_which_line_a_socket_comes_from(
    hosts: tuple[str, ...], address: str, dual: bool, chosen: int | None
):
    declared = [Declared(host, 109, LINE) for host in hosts]
    assert local.best(declared, address, dual) is (None if chosen is None else declared[chosen])


def test_a_real_machine_is_gathered_without_a_fault():
    assert isinstance(gather(LiveSystem(), every=True), LocalHost)
