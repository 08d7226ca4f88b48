"""stunnel.conf: what stunnel reads, what it refuses, and edits that change one line.

The last tests hold our reading against the stunnel that is installed, on loopback.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailseal.configs import stunnel
from mailseal.configs.stunnel import HostPort, Option, UnixPath
from mailseal.configs.text import Span, apply_splices
from tests.configs.common import check_laws, files, unchanged_around

SAMPLE = b"""\
; a mail gateway
foreground = yes
 pid =
sslVersionMin = TLSv1.2

[pop2]
accept  = 192.0.2.10:109
  Accept = :::109
connect = /run/mailseal/pop2.sock   
# cert = /nowhere

[ submission ]
client = no ; not a comment
connect=mx.example:587
"""  # noqa: W291


def pairs(options: Sequence[Option]) -> list[tuple[str, str]]:
    return [(option.key.text, option.value.text) for option in options]


@given(files)
@example(b"\xef\xbb\xbf[a]")
def test_no_byte_is_lost(data):
    check_laws(stunnel.parse(data), data)


def test_a_configuration_is_read():
    document = stunnel.parse(SAMPLE)
    assert document.malformed == ()
    assert pairs(document.globals) == [
        ("foreground", "yes"), ("pid", ""), ("sslVersionMin", "TLSv1.2"),
    ]  # fmt: skip
    pop2, submission = document.services
    assert (pop2.name, submission.name) == ("pop2", " submission ")
    assert pairs(pop2.options) == [
        ("accept", "192.0.2.10:109"), ("Accept", ":::109"), ("connect", "/run/mailseal/pop2.sock"),
    ]  # fmt: skip
    assert pairs(submission.options)[0] == ("client", "no ; not a comment")


def test_positions_are_those_of_the_file():
    option = stunnel.parse(SAMPLE).services[0].options[1]
    start = SAMPLE.index(b"Accept = :::109")
    assert option.key.span == Span(8, 3, start, start + 6)
    assert option.value.span == Span(8, 12, start + 9, start + 15)


def test_global_options_are_defaults_and_case_does_not_matter():
    document = stunnel.parse(b"Connect = a:1\nclient=yes\n[x]\nCONNECT = b:2\n[y]\nclient = no\n")
    x, y = document.services
    values = {
        name: [option.value.text for option in found]
        for name, found in stunnel.effective(document, x).items()
    }
    assert values == {"connect": ["a:1", "b:2"], "client": ["yes"]}
    assert [o.value.text for o in stunnel.effective(document, y)["client"]] == ["yes", "no"]
    assert set(stunnel.effective(document, None)) == {"connect", "client"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[pop2] ; x", "no '='"),
        (b"hello", "no '='"),
        (b" = x", "no name before '='"),
        (b"[", "no '='"),
        (b"acc\rept = 109", "carriage return"),
        (b"accept = 109\0 # x", "NUL"),
        (b";" + b"x" * stunnel.MAX_LINE, "two lines"),
    ],
)
def test_what_stunnel_refuses_or_reads_otherwise_is_malformed(line, reason):
    (item,) = stunnel.parse(b"; a\n" + line + b"\n[x]").malformed
    assert reason in item.reason
    assert item.span.line == 2


@pytest.mark.parametrize(
    ("data", "name"), [(b"[]", ""), (b"\t[a]b]\r\n", "a]b"), (b"\xef\xbb\xbf[x = y]", "x = y")]
)
def test_names_of_services(data, name):
    (service,) = stunnel.parse(data).services
    assert service.name == name


SERVICES = {"pop2": 109}
ADDRESSES = [
    ("109", HostPort(None, "109"), 109),
    ("pop2", HostPort(None, "pop2"), 109),
    (":::109", HostPort("::", "109"), 109),
    ("2001:db8::1:109", HostPort("2001:db8::1", "109"), 109),
    ("192.0.2.10: 109", HostPort("192.0.2.10", " 109"), 109),
    ("mx.example:+0109", HostPort("mx.example", "+0109"), 109),
    ("[::1]:109", HostPort("[::1]", "109"), 109),
    (":109", HostPort("", "109"), 109),
    ("127.0.0.1:65645", HostPort("127.0.0.1", "65645"), 109),
    ("127.0.0.1:", HostPort("127.0.0.1", ""), 0),
    ("", HostPort(None, ""), 0),
    ("x.sock", HostPort(None, "x.sock"), None),
    ("127.0.0.1:109 ; x", HostPort("127.0.0.1", "109 ; x"), None),
    ("127.0.0.1:0x6d", HostPort("127.0.0.1", "0x6d"), None),
]


@pytest.mark.parametrize(("value", "address", "port"), ADDRESSES)
def test_addresses(value, address, port):
    assert stunnel.parse_address(value) == address
    assert address.port(SERVICES) == port


def test_a_path_is_a_unix_socket():
    assert stunnel.parse_address("/run/x:109") == UnixPath("/run/x:109")


# ---- edits ---------------------------------------------------------------------------------------

keys = st.sampled_from(["accept", "connect", "cert", "CAfile", "client"])
values = st.text(
    st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=20
).map(lambda value: value.strip(" \t\v\f"))


@given(files, st.integers(0, 3), keys, values)
def test_an_option_set_is_read_back_and_nothing_else_changes(data, index, key, value):
    before = stunnel.parse(data)
    targets = [None, *before.services]
    at = min(index, len(targets) - 1)
    splices = stunnel.set_option(before, targets[at], key, value)
    after = stunnel.parse(apply_splices(data, splices))
    target = [None, *after.services][at]
    own = target.options if target else after.globals
    mine = [option.value.text for option in own if option.key.text.lower() == key.lower()]
    assert mine[-1] == value
    assert len(after.services) == len(before.services)
    if splices:
        assert unchanged_around(splices, data, after.data)
    else:
        assert after.data == data


@pytest.mark.parametrize(
    ("service", "key", "value", "old", "new"),
    [
        (0, "CONNECT", "127.0.0.1:19", b"/run/mailseal/pop2.sock   ", b"127.0.0.1:19   "),
        (0, "accept", "::1:109", b"  Accept = :::109", b"  Accept = ::1:109"),
        (0, "cert", "/c", b"pop2.sock   \n", b"pop2.sock   \ncert = /c\n"),
        (1, "cert", "/c", b"mx.example:587\n", b"mx.example:587\ncert = /c\n"),
        (None, "pid", "/run/p", b" pid =\n", b" pid = /run/p\n"),
        (None, "chroot", "/x", b"TLSv1.2\n", b"TLSv1.2\nchroot = /x\n"),
    ],
)
def test_edits_of_a_configuration(service, key, value, old, new):
    document = stunnel.parse(SAMPLE)
    target = None if service is None else document.services[service]
    splices = stunnel.set_option(document, target, key, value)
    assert apply_splices(SAMPLE, splices) == SAMPLE.replace(old, new)


def test_an_option_added_follows_line_ends_and_an_unfinished_last_line():
    document = stunnel.parse(b"[x]\r\n\taccept = 1")
    splices = stunnel.set_option(document, document.services[0], "connect", "2")
    assert apply_splices(document.data, splices) == b"[x]\r\n\taccept = 1\r\n\tconnect = 2\r\n"


def test_a_value_that_is_there_already_needs_no_splice():
    document = stunnel.parse(SAMPLE)
    assert stunnel.set_option(document, None, "foreground", "yes") == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [("a", "x\ny"), ("a", "x\r"), ("a", "\0"), ("a", " x"), ("[a", "x]"), ("", "x"), ("a=b", "c")]
    + [("a", "x" * stunnel.MAX_LINE)],
)
def test_what_would_not_be_read_back_is_not_written(key, value):
    with pytest.raises(ValueError, match=r"value|option"):
        stunnel.compose([(key, value)], [])
    with pytest.raises(ValueError, match=r"value|option"):
        stunnel.set_option(stunnel.parse(b""), None, key, value)


option_lists = st.lists(st.tuples(keys, values), max_size=4)


@given(option_lists, st.lists(st.tuples(values, option_lists), max_size=3))
def test_what_is_composed_is_read_back(options, services):
    document = stunnel.parse(stunnel.compose(options, services))
    assert document.malformed == ()
    assert pairs(document.globals) == options
    assert [(each.name, pairs(each.options)) for each in document.services] == services


def test_a_composed_configuration_is_pleasant_to_read():
    assert stunnel.compose([("foreground", "yes")], [("a", [("accept", "1")]), ("b", [])]) == (
        b"foreground = yes\n\n[a]\naccept = 1\n\n[b]\n"
    )


# ---- beside the real one -------------------------------------------------------------------------

STUNNEL = shutil.which("stunnel4") or ""
real = pytest.mark.skipif(not STUNNEL, reason="stunnel4 is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(pid: int) -> set[tuple[str, int]]:
    """(address, port) of each IPv4 TCP listener of a process."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(link.readlink()))
        except FileNotFoundError:
            continue
    found = set()
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = row.split()
        if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
            address, port = words[1].split(":")
            packed = bytes.fromhex(address)[::-1]
            found.add((socket.inet_ntoa(packed), int(port, 16)))
    return found


def listeners_of_stunnel(tmp_path: Path, configuration: bytes) -> set[tuple[str, int]] | None:
    """What the real stunnel listens on with this configuration; None if it does not start."""
    path = tmp_path / "stunnel.conf"
    path.write_bytes(configuration)
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen([STUNNEL, str(path)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and process.poll() is None:
            if b"Accepting new connections" in (tmp_path / "log").read_bytes():
                return listening(process.pid)
            time.sleep(0.02)
        return None
    finally:
        process.kill()
        process.wait()


def configuration(accept: bytes, more: bytes = b"") -> bytes:
    # A client needs no certificate, so the tests make none.
    head = b"foreground = yes\npid =\ndebug = 7\nclient = yes\n"
    return head + b"[x]\naccept = " + accept + b"\nconnect = 127.0.0.1:1\n" + more


@real
@pytest.mark.parametrize(
    "form",
    ["127.0.0.1:{}", "127.0.0.1: {}", "127.0.0.1:+{}", "127.0.0.1:0{}", "/PATH", "[127.0.0.1]:{}"]
    + [":{}", "127.0.0.1:{} ; x", "127.0.0.1 : {}"],
)
def test_stunnel_reads_addresses_as_we_do(tmp_path, form):
    port = free_port()
    value = form.format(port).replace("/PATH", str(tmp_path / "s"))
    found = listeners_of_stunnel(tmp_path, configuration(value.encode()))
    address = stunnel.parse_address(value)
    if isinstance(address, UnixPath):
        assert found == set()
        assert Path(address.path).is_socket()
    elif address.host == "127.0.0.1" and address.port({}) is not None:
        assert found == {("127.0.0.1", address.port({}))}
    else:
        assert found is None


@real
def test_stunnel_counts_ports_as_we_do(tmp_path):
    value = f"127.0.0.1:{free_port() + 65536}"
    address = stunnel.parse_address(value)
    assert isinstance(address, HostPort)
    found = listeners_of_stunnel(tmp_path, configuration(value.encode()))
    assert found == {("127.0.0.1", address.port({}))}


@real
@pytest.mark.parametrize(
    ("more", "starts"),
    [
        (b"  # x\n\t; y\n", True),
        (b"[ y ]\naccept = 127.0.0.1:0\nconnect = 127.0.0.1:1\n", True),
        (b"SSLversionMIN = TLSv1.2\r\n", True),
        (b"hello\n", False),
        (b"[y] ; z\n", False),
        (b" = z\n", False),
        (b";" + b"x" * stunnel.MAX_LINE + b"\n", False),
        (b";" + b"x" * (stunnel.MAX_LINE - 1) + b"\n", True),
    ],
    ids=["comments", "name", "case", "no =", "late comment", "no name", "too long", "not too long"],
)
def test_stunnel_refuses_what_we_call_malformed(tmp_path, more, starts):
    data = configuration(b"127.0.0.1:0", more)
    assert (stunnel.parse(data).malformed == ()) == starts
    assert (listeners_of_stunnel(tmp_path, data) is not None) == starts


@real
def test_stunnel_adds_up_the_accepts_of_globals_and_service_as_we_do(tmp_path):
    one, two = free_port(), free_port()
    data = f"foreground = yes\npid =\ndebug = 7\nclient = yes\naccept = 127.0.0.1:{one}\n".encode()
    data += f"[x]\nconnect = 127.0.0.1:1\naccept = 127.0.0.1:{two}\n".encode()
    document = stunnel.parse(data)
    options = stunnel.effective(document, document.services[0])["accept"]
    assert [option.value.text for option in options] == [f"127.0.0.1:{one}", f"127.0.0.1:{two}"]
    assert listeners_of_stunnel(tmp_path, data) == {("127.0.0.1", one), ("127.0.0.1", two)}
