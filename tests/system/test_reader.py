"""Reading what may not be read: told once, and the rest goes on."""

from mailseal.model.local import Source
from mailseal.system.base import Completed, Meta
from mailseal.system.memory import MemorySystem
from mailseal.system.memory.files import Node
from mailseal.system.ownership import owners
from mailseal.system.reader import MAX_FILE, NOT_ROOT, Reader, arguments
from mailseal.system.recorded import RecordedSystem, Recording


def link(target: str) -> Node:
    return Node("link", Meta(0o777, 0, 0), target=target)


def test_links_are_followed_and_loops_end():
    system = MemorySystem()
    system.put("/etc/real.conf", b"x")
    system.place("/etc/dovecot/conf.d/a.conf", link("../../real.conf"))
    system.place("/etc/loop", link("loop"))
    reader = Reader(system)
    assert reader.read("/etc/dovecot/conf.d/a.conf") == b"x"
    assert reader.read("/etc/loop") is None
    assert list(reader.unread) == ["/etc/loop"]


def test_what_is_not_there_is_no_gap_and_what_is_forbidden_is():
    system = MemorySystem()
    system.put("/etc/secret", b"x", 0o600)
    system.user = 1000
    reader = Reader(system)
    assert reader.read("/etc/nothing") is None
    assert reader.read("/etc") is None
    assert reader.unread == {}
    assert reader.read("/etc/secret") is None
    assert reader.unread == {"/etc/secret": NOT_ROOT}


def test_a_long_file_is_cut_and_told():
    system = MemorySystem()
    system.put("/etc/long", b"x" * (MAX_FILE + 1))
    reader = Reader(system)
    assert len(reader.read("/etc/long") or b"") == MAX_FILE
    assert "only the first" in reader.unread["/etc/long"]


def test_ports_by_number_and_name():
    system = MemorySystem()
    reader = Reader(system)
    words = ("25", "smtp", "0", "65536", "123456", "٣", "-1", "", "nothing")
    assert [reader.port(word) for word in words] == [25, 25, *[None] * 7]


def test_options_of_a_command_line():
    argv = ("x", "-c", "/a", "-c/b", "-d", "-c")
    assert arguments(argv, "-c") == ("/a", "/b")


def test_a_program_that_fails_is_told():
    done = Completed(("x",), 1, b"half", b"no\n")
    reader = Reader(RecordedSystem(Recording({}, commands={("x",): done})))
    assert reader.ask("x", partial=True) == "half"
    assert reader.ask("x") == ""
    assert reader.ask("y") == ""
    assert set(reader.unread) == {"x", "y"}


def test_a_source_says_where():
    assert str(Source("/etc/x", 3, "a b")) == "/etc/x:3: a b"
    assert str(Source("/etc/x", 0, "a (default)")) == "/etc/x: a (default)"


# -- packages: outputs of Debian 12 and of Rocky Linux 9 -------------------------------------------

DPKG = {
    ("dpkg-query", "-S", "/lib/systemd/systemd", "/sbin/inetd", "/usr/lib/systemd/systemd",
     "/usr/sbin/inetd"): Completed(
        (), 1,
        b"diversion by x from: /usr/sbin/inetd\n"
        b"openbsd-inetd: /usr/sbin/inetd\n"
        b"systemd: /lib/systemd/systemd\n",
        b"dpkg-query: no path found matching pattern /usr/lib/systemd/systemd\n"),
    ("dpkg-query", "-W", "-f=${binary:Package} ${Version}\n", "openbsd-inetd", "systemd"):
        Completed((), 0, b"openbsd-inetd 0.20221205-2~deb12u1\nsystemd 252.39-1~deb12u2\n", b""),
}  # fmt: skip


def test_dpkg_names_the_package_also_from_before_the_merge_of_usr():
    system = MemorySystem()
    system.put("/usr/bin/dpkg-query", b"")
    system.programs["dpkg-query"] = lambda argv, data: DPKG[argv]
    paths = ["/usr/sbin/inetd", "/usr/lib/systemd/systemd"]
    assert owners(Reader(system), paths) == {
        "/usr/sbin/inetd": ("openbsd-inetd", "0.20221205-2~deb12u1"),
        "/usr/lib/systemd/systemd": ("systemd", "252.39-1~deb12u2"),
    }


def test_rpm_names_the_package():
    def rpm(argv, data):
        if argv[-1] == "/usr/sbin/dovecot":
            return Completed(argv, 0, b"dovecot 2.3.16-11.el9\n", b"")
        words = "file %s is not owned by any package\n" % argv[-1]
        return Completed(argv, 1, words.encode(), b"")

    system = MemorySystem()
    system.put("/usr/bin/rpm", b"")
    system.programs["rpm"] = rpm
    found = owners(Reader(system), ["/usr/sbin/dovecot", "/usr/local/sbin/ipop2d"])
    assert found == {"/usr/sbin/dovecot": ("dovecot", "2.3.16-11.el9")}


def test_without_a_package_manager_there_is_no_package():
    assert owners(Reader(MemorySystem()), ["/usr/sbin/inetd"]) == {}
