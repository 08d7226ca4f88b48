"""inetd.conf: the syntax of inetd(8) of openbsd-inetd, and edits of whole entries."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailseal.configs import inetd
from mailseal.configs.inetd import Entry
from mailseal.configs.text import Span, Trivia, apply_splices
from tests.configs.common import check_laws, files, unchanged_around

SAMPLE = b"""\
# mail
pop2\tstream tcp\tnowait\troot\t/usr/sbin/tcpd\t/usr/sbin/ipop2d -d
192.0.2.10,[x:pop3 stream tcp6,rcvbuf=64k nowait.40 nobody:mail /usr/sbin/ipop3d
#imap2 stream tcp nowait root /usr/sbin/tcpd imapd

[2001:db8::1]:109 stream tcp6 nowait root.mail /usr/sbin/ipop2d
127.0.0.1:
finger stream tcp46 wait nobody in.fingerd
\tin.fingerd
  -w
*: time dgram udp wait root internal
rusersd/1-3 dgram rpc/udp wait root /usr/sbin/rpc.rusersd rpc.rusersd
/run/x:y stream unix nowait root /bin/x x
"""


def entries(data: bytes) -> tuple[Entry, ...]:
    return inetd.parse(data).entries


def one(data: bytes) -> Entry:
    (entry,) = entries(data)
    return entry


@given(files)
def test_no_byte_is_lost(data):
    check_laws(inetd.parse(data), data)


def test_a_file_is_read():
    document = inetd.parse(SAMPLE)
    assert document.malformed == ()
    read = [
        (e.addresses, e.service, e.type, e.protocol, e.wait, e.limit, e.user, e.group, e.server)
        for e in document.entries
    ]
    local = ("127.0.0.1",)
    assert read == [
        (("*",), "pop2", "stream", "tcp", False, None, "root", None, "/usr/sbin/tcpd"),
        (("192.0.2.10", "[x"), "pop3", "stream", "tcp6", False, 40, "nobody", "mail",
         "/usr/sbin/ipop3d"),
        (("2001:db8::1",), "109", "stream", "tcp6", False, None, "root", "mail",
         "/usr/sbin/ipop2d"),
        (local, "finger", "stream", "tcp46", True, None, "nobody", None, "in.fingerd"),
        (("*",), "time", "dgram", "udp", True, None, "root", None, "internal"),
        (local, "rusersd/1-3", "dgram", "rpc/udp", True, None, "root", None,
         "/usr/sbin/rpc.rusersd"),
        (("/run/x",), "y", "stream", "unix", False, None, "root", None, "/bin/x"),
    ]  # fmt: skip


def test_arguments():
    argv = [entry.argv for entry in entries(SAMPLE)]
    assert argv[0] == ("/usr/sbin/ipop2d", "-d")
    assert argv[1] == ("ipop3d",)  # none written: the name of the program
    assert argv[3] == ("in.fingerd", "-w")  # over three lines
    assert entries(SAMPLE)[4].internal


@pytest.mark.parametrize(
    ("server", "argv", "wrapped", "effective"),
    [
        ("/usr/sbin/tcpd", "/usr/sbin/ipop2d -d", True, "/usr/sbin/ipop2d"),
        ("/usr/sbin/tcpd", "ipop2d", True, "/usr/sbin/ipop2d"),
        ("/usr/libexec/tcpd", "", True, ""),
        ("/usr/sbin/ipop2d", "tcpd", False, "/usr/sbin/ipop2d"),
    ],
)
def test_what_is_behind_tcpd(server, argv, wrapped, effective):
    entry = one(f"pop2 stream tcp nowait root {server} {argv}\n".encode())
    assert entry.wrapped_by_tcpd is wrapped
    assert entry.effective_server == effective


def test_positions_are_those_of_the_file():
    entry = entries(SAMPLE)[3]
    start = SAMPLE.index(b"finger stream")
    assert entry.span == Span(8, 1, start, SAMPLE.index(b"*: time"))
    assert entry.fields[1].span == Span(8, 8, start + 7, start + 13)
    last = SAMPLE.index(b"-w")
    assert entry.words[-1].span == Span(10, 3, last, last + 2)


@pytest.mark.parametrize(
    ("prefix", "address", "addresses"),
    [
        (b"", None, ("*",)),
        (b"*:", "*", ("*",)),
        (b"127.0.0.1: ", "127.0.0.1", ("127.0.0.1",)),
        (b"[::1]:", "::1", ("::1",)),
        (b"::1:", "::1", ("::1",)),
        (b"a,b:", "a,b", ("a", "b")),
        (b":", "", ("",)),
    ],
)
def test_addresses(prefix, address, addresses):
    entry = one(prefix + b"pop2 stream tcp nowait root /x\n")
    assert (entry.address, entry.addresses, entry.service) == (address, addresses, "pop2")


@pytest.mark.parametrize(
    ("wait", "waits", "limit"),
    [("wait", True, None), ("wait.10", True, 10), ("nowait.400", False, 400)]
    + [("nowait/10/5", False, 10), ("nowait", False, None), ("nowait.x", False, None)]
    + [("waiter", False, None)],
)
def test_wait(wait, waits, limit):
    entry = one(f"pop2 stream tcp {wait} root /x\n".encode())
    assert (entry.wait, entry.limit) == (waits, limit)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"pop2 stream tcp nowait root", "5 fields"),
        (b"pop2 streams tcp nowait root /x", "socket type"),
        (b"  # pop2 stream tcp nowait root /x", "indented"),
        (b"pop2 stream tcp nowait root /x\0y", "NUL"),
        (b"#" + b"x" * inetd.MAX_LINE, "two lines"),
    ],
)
def test_what_inetd_refuses_or_reads_otherwise_is_malformed(line, reason):
    document = inetd.parse(b"# x\n" + line + b"\n\nx stream tcp nowait root /x\n")
    (item,) = document.malformed
    assert reason in item.reason
    assert item.span.line == 2
    assert len(document.entries) == 1


def test_a_comment_is_not_continued_but_a_blank_line_may_be():
    found = entries(b"# x\n pop2 stream tcp nowait root /a\n\n\tpop3 stream tcp nowait root /b\n")
    assert [entry.service for entry in found] == ["pop2", "pop3"]


def test_crlf_and_a_missing_line_end():
    found = entries(b"pop2 stream tcp nowait root /x y\r\n\r\npop3 stream tcp nowait root /z\r")
    assert [(entry.server, entry.argv) for entry in found] == [("/x", ("y",)), ("/z", ("z",))]


SERVICES = b"""\
# comment
pop2\t\t109/tcp\tpostoffice pop-2 # the old one
pop2 109/udp
pop3 110/tcp
pop2 999/tcp
broken tcp/110 x
huge 70000/tcp
"""


def test_services():
    assert inetd.parse_services(SERVICES) == {
        "pop2": 109, "postoffice": 109, "pop-2": 109, "pop3": 110,
    }  # fmt: skip
    assert inetd.parse_services(SERVICES, "udp") == {"pop2": 109}


@given(files)
def test_services_never_raises(data):
    assert all(0 <= port <= 0xFFFF for port in inetd.parse_services(data).values())


@pytest.mark.parametrize(
    ("service", "protocol", "expected"),
    [("pop2", "tcp", 109), ("pop-2", "tcp6", 109), ("109", "tcp", 109), ("109x", "tcp", 109)]
    + [("nosuch", "tcp", None), ("pop2/1", "rpc/tcp", None), ("109", "unix", None)]
    + [("65645", "tcp", 109), ("0", "tcp", None), ("65536", "tcp", None)],
)
def test_port(service, protocol, expected):
    entry = one(f"{service} stream {protocol} nowait root /x\n".encode())
    assert inetd.port(entry, inetd.parse_services(SERVICES, "tcp")) == expected


@pytest.mark.parametrize("protocol", ["tcp", "tcp4", "tcp6", "tcp46"])
def test_transport(protocol):
    assert one(f"a stream {protocol},sndbuf=1m nowait root /x\n".encode()).transport == "tcp"


# ---- edits ---------------------------------------------------------------------------------------


def test_an_entry_is_commented_out_with_all_its_lines():
    document = inetd.parse(SAMPLE)
    after = apply_splices(SAMPLE, inetd.comment_out(document, document.entries[3]))
    body = b"finger stream tcp46 wait nobody in.fingerd\n\tin.fingerd\n  -w\n"
    marked = b"".join(b"# mailseal: " + line for line in body.splitlines(keepends=True))
    assert after == SAMPLE.replace(body, marked)


def entry_files() -> st.SearchStrategy[bytes]:
    """Files that hold entries, continued or not, between whatever else."""
    entry = st.sampled_from(
        [b"pop2 stream tcp nowait root /x y\n", b"pop3 stream tcp\n\tnowait root /x\n  -z\n"]
        + [b"::1:109 stream tcp6 nowait root /x\r\n", b"*: a stream tcp wait root /b"]
    )
    other = st.sampled_from([b"", b"\n", b"# c\n", b" \n", b"host:\n", b"junk\n", b"\xff\n"])
    return st.lists(st.one_of(entry, other, files), max_size=6).map(b"".join)


@given(entry_files(), st.data())
def test_commenting_out_takes_away_one_entry_and_changes_no_other(data, draw):
    document = inetd.parse(data)
    assume(document.entries)
    at = draw.draw(st.integers(0, len(document.entries) - 1))
    splices = inetd.comment_out(document, document.entries[at])
    assert all(splice.old == b"" and splice.new == b"# mailseal: " for splice in splices)
    after = inetd.parse(apply_splices(data, splices))

    def told(entries: tuple[Entry, ...]) -> list[tuple[object, ...]]:
        return [(e.addresses, e.service, e.argv) for e in entries]

    # A line that is now too long for inetd is told as such, and is no entry either.
    assert told(after.entries) == told(document.entries[:at] + document.entries[at + 1 :])
    assert after.data.replace(b"# mailseal: ", b"") == data.replace(b"# mailseal: ", b"")


@given(entry_files(), st.sampled_from(inetd.FIELDS), st.data())
def test_a_field_set_is_read_back_and_nothing_else_changes(data, field, draw):
    document = inetd.parse(data)
    assume(document.entries)
    at = draw.draw(st.integers(0, len(document.entries) - 1))
    value = "dgram" if field == "type" else "value"
    splices = inetd.set_field(document, document.entries[at], field, value)
    after = inetd.parse(apply_splices(data, splices))
    assert len(after.entries) == len(document.entries)
    assert getattr(after.entries[at], field) == (False if field == "wait" else value)
    assert after.data == data if not splices else unchanged_around(splices, data, after.data)


def test_rebinding_replaces_the_address_with_the_service():
    data = b"a: pop2 stream tcp nowait root /x\n"
    document = inetd.parse(data)
    splices = inetd.set_field(document, document.entries[0], "service", "127.0.0.1:10109")
    assert apply_splices(data, splices) == b"127.0.0.1:10109 stream tcp nowait root /x\n"
    assert inetd.set_field(document, document.entries[0], "user", "root") == ()


def test_a_carriage_return_stays_where_it_was():
    data = b"pop2 stream tcp nowait root /x\r\n"
    document = inetd.parse(data)
    splices = inetd.set_field(document, document.entries[0], "server", "/y")
    assert apply_splices(data, splices) == b"pop2 stream tcp nowait root /y\r\n"


@pytest.mark.parametrize("value", ["", "a b", "a\n", "#a", "a\0"])
def test_a_field_is_one_word(value):
    document = inetd.parse(b"pop2 stream tcp nowait root /x\n")
    with pytest.raises(ValueError, match="not one word"):
        inetd.set_field(document, document.entries[0], "service", value)


@pytest.mark.parametrize("mark", ["", "x", "# a\n", " #"])
def test_a_mark_begins_a_comment(mark):
    document = inetd.parse(b"pop2 stream tcp nowait root /x\n")
    with pytest.raises(ValueError, match="no comment begins"):
        inetd.comment_out(document, document.entries[0], mark)


def test_comments_are_trivia():
    assert all(isinstance(item, Trivia) for item in inetd.parse(b"# a\n\n#b\n \t\n").items)


@pytest.mark.parametrize("length", [1, 900])
@pytest.mark.parametrize("server", ["/usr/sbin/popd", "/usr/sbin/tcpd"])
def test_an_entry_at_a_unix_socket_starts_the_same(server: str, length: int):
    words = ["109", "stream", "tcp6", "nowait.99", "mail.adm", server, "/usr/sbin/popd", "#", "x"]
    line = " ".join(words) + "x" * length
    (entry,) = inetd.parse(line.encode()).entries
    (moved,) = inetd.parse(inetd.at_socket(entry, "/run/" + "y" * 90)).entries
    assert (moved.service, moved.protocol, moved.addresses) == ("/run/" + "y" * 90, "unix", ("*",))
    assert (moved.argv, moved.limit, moved.wait) == (entry.argv, 99, False)
    assert (moved.user, moved.group, moved.server) == ("mail", "adm", "/usr/sbin/popd")
    assert inetd.port(moved, {}) is None
    for path in ("relative", "/with space", "/" + "y" * 101):
        with pytest.raises(ValueError, match="not a path of one word"):
            inetd.at_socket(entry, path)
