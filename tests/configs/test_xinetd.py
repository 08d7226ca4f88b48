"""xinetd: what it serves, what it drops, how defaults combine, and edits that change one line."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailseal.configs import xinetd
from mailseal.configs.text import Span, apply_splices
from mailseal.configs.xinetd import Service
from tests.configs.common import check_laws, files, unchanged_around

MAIN = b"""\
# main file
defaults
{
\tinstances   = 60
\tlog_type    = SYSLOG daemon info
\tonly_from   = 192.0.2.0/24
\tonly_from   = 198.51.100.7
\tinterface   = 192.0.2.10
\tdisabled    = finger pop2-old
\tserver      = /not/for/defaults
}

includedir /etc/xinetd.d
include /etc/xinetd.extra
"""
POP2 = b"""\
service pop2
# between
{
\tid              = pop2-main
\ttype            = UNLISTED
\tport            = 109
\tsocket_type     = stream
\twait            = no
\tuser            = root
\tserver          = /usr/sbin/tcpd
\tserver_args     = /usr/sbin/ipop2d -d
\tflags           = IPv6 NAMEINARGS
\tonly_from      += 203.0.113.9
\tno_access       =
\tinstances       = 5
\tinstances       = 50
\tenv             = A=b C=d
\tdisable         = no
}
"""


def first(data: bytes) -> Service:
    return xinetd.parse(data).services[0]


def service(*lines: bytes, name: str = "pop2") -> Service:
    return first(
        f"service {name}\n{{\n".encode() + b"".join(b"\t" + x + b"\n" for x in lines) + b"}\n"
    )


@given(files)
def test_no_byte_is_lost(data):
    check_laws(xinetd.parse(data), data)


def test_a_main_file_is_read():
    document = xinetd.parse(MAIN)
    assert document.malformed == ()
    assert document.services == ()
    assert [(d.kind, d.path.text) for d in document.directives] == [
        ("includedir", "/etc/xinetd.d"), ("include", "/etc/xinetd.extra"),
    ]  # fmt: skip
    assert defaults_of(MAIN).name == "defaults"
    assert len(defaults_of(MAIN).attributes) == 7


def test_a_service_is_read_and_combined_with_the_defaults():
    document = xinetd.parse(POP2)
    assert document.malformed == ()
    found = xinetd.effective(document.services[0], xinetd.parse(MAIN).defaults)
    assert found == {
        "id": ("pop2-main",), "type": ("UNLISTED",), "port": ("109",), "socket_type": ("stream",),
        "wait": ("no",), "user": ("root",), "server": ("/usr/sbin/tcpd",),
        "server_args": ("/usr/sbin/ipop2d", "-d"), "flags": ("IPv6", "NAMEINARGS"),
        "only_from": ("192.0.2.0/24", "198.51.100.7", "203.0.113.9"), "no_access": (),
        "instances": ("5",), "env": ("A=b", "C=d"), "disable": ("no",),
        "log_type": ("SYSLOG", "daemon", "info"), "bind": ("192.0.2.10",),
    }  # fmt: skip


def test_positions_are_those_of_the_file():
    attribute = first(POP2).attributes[8 - 1]
    start = POP2.index(b"server_args")
    assert attribute.name.span == Span(11, 2, start, start + 11)
    value = POP2.index(b"/usr/sbin/ipop2d -d")
    assert attribute.raw.span == Span(11, 20, value, value + 19)


@pytest.mark.parametrize(
    ("lines", "key", "values"),
    [
        ([b"only_from = a b", b"only_from -= a", b"only_from += c b"], "only_from", ("b", "c")),
        ([b"only_from ="], "only_from", ()),
        ([b"user = a", b"user = b"], "user", ("a",)),
        ([b"user += a", b"user = b"], "user", ("b",)),
        ([b"user = a b", b"user = c"], "user", ("c",)),
        ([b"redirect = h", b"redirect = h 1"], "redirect", ("h", "1")),
        ([b"interface = a", b"bind = b"], "bind", ("a",)),
        ([b"user =a"], "user", ("a",)),
    ],
)
def test_which_assignment_counts(lines, key, values):
    assert xinetd.effective(service(*lines), None)[key] == values


@pytest.mark.parametrize(
    ("data", "reason", "names"),
    [
        (b"service a {\n\tuser = x\n}\nservice b\n{\n}\n", "no '{' alone", ["b"]),
        (b"junk\nservice a\n{\n}\nservice b\n{\n}\n", "neither a service", ["b"]),
        (b"include\nservice a\n{\n}\n", "neither a service", []),
        (b"service\n{\n}\n", "neither a service", []),
        (b"service a\nservice b\n{\n}\n", "no '{' alone", []),
        (b"service a\n", "no '{' alone", []),
        (b"service a\n}\nservice b\n{\n}\nservice c\n{\n}\n", "no '{' alone", ["c"]),
    ],
)
def test_what_xinetd_passes_over_is_malformed_up_to_the_next_brace(data, reason, names):
    document = xinetd.parse(data)
    (item,) = document.malformed
    assert reason in item.reason
    assert item.span.line == 1
    assert [each.name for each in document.services] == names


@pytest.mark.parametrize(
    "line",
    [b"user", b"user=root", b"user= root", b"= x", b"user x", b"user + = x", b"user = \0", b"{"],
)
def test_a_bad_line_breaks_its_service(line):
    broken = service(b"wait = no", line, b"user = root")
    assert [item.span.line for item in broken.broken] == [4]
    assert not xinetd.is_enabled(broken, None)
    assert [each.key for each in broken.attributes] == ["wait", "user"]


def test_a_service_without_an_end_is_broken():
    (item,) = first(b"service a\n{\n\tuser = root").broken
    assert "no '}'" in item.reason


def defaults_of(data: bytes) -> Service:
    found = xinetd.parse(data).defaults
    assert found is not None
    return found


def defaults(line: bytes) -> Service:
    return defaults_of(b"defaults\n{\n\t" + line + b"\n}\n")


@pytest.mark.parametrize(
    ("lines", "line", "enabled"),
    [
        ([], b"", True),
        ([b"disable = no"], b"", True),
        ([b"disable = yes"], b"", False),
        ([b"disable = yes", b"disable = no"], b"", False),
        ([b"disable = YES"], b"", False),
        ([b"disable = yes no"], b"", True),
        ([b"disable = maybe"], b"", True),
        ([b"flags = DISABLE IPv4"], b"", False),
        ([], b"disabled = x pop2", False),
        ([b"id = other"], b"disabled = pop2", True),
        ([], b"enabled = pop3", False),
        ([], b"enabled = pop3 pop2", True),
        ([b"disable = yes"], b"enabled = pop2", False),
        ([], b"enabled =", False),
    ],
)
def test_enabled(lines, line, enabled):
    assert xinetd.is_enabled(service(*lines), defaults(line)) is enabled
    if not line:
        assert xinetd.is_enabled(service(*lines), None) is enabled


@pytest.mark.parametrize(
    ("lines", "name", "expected"),
    [
        ([], "pop2", 109),
        ([b"port = 1109"], "pop2", 1109),
        ([b"type = UNLISTED"], "pop2", None),
        ([b"type = UNLISTED", b"port = 2"], "x", 2),
        ([b"type = RPC"], "pop2", None),
        ([], "nosuch", None),
    ],
)
def test_port(lines, name, expected):
    assert xinetd.port(service(*lines, name=name), {"pop2": 109}) == expected


@pytest.mark.parametrize(
    ("lines", "argv", "wrapped", "server"),
    [
        ([b"server = /s/ipop2d"], ("ipop2d",), False, "/s/ipop2d"),
        ([b"server = /s/ipop2d", b"server_args = -d"], ("ipop2d", "-d"), False, "/s/ipop2d"),
        (
            [b"server = /usr/sbin/tcpd", b"flags = NAMEINARGS", b"server_args = /s/ipop2d -d"],
            ("/s/ipop2d", "-d"), True, "/s/ipop2d",
        ),
        ([b"server = /usr/sbin/tcpd", b"server_args = /s/ipop2d"], ("tcpd", "/s/ipop2d"), True, ""),
    ],
)  # fmt: skip
def test_server(lines, argv, wrapped, server):
    found = xinetd.effective(service(*lines), None)
    assert xinetd.argv(found) == argv
    assert xinetd.wrapped_by_tcpd(found) is wrapped
    assert xinetd.server(found) == server


@pytest.mark.parametrize(
    ("name", "read"), [("pop2", True), ("pop2.dpkg-new", False), (".x", False), ("pop2~", False)]
)
def test_includedir(name, read):
    assert xinetd.includedir_reads(name) is read


# ---- edits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("disable", "yes", b"= no\n}", b"= yes\n}"),
        ("instances", "9", b"= 5\n", b"= 9\n"),
        ("bind", "127.0.0.1", b"= no\n}", b"= no\n\tbind = 127.0.0.1\n}"),
        ("no_access", "a b", b"no_access       =\n", b"no_access       = a b\n"),
        ("server_args", "/x", b"= /usr/sbin/ipop2d -d", b"= /x"),
    ],
)
def test_edits_of_a_service(name, value, old, new):
    document = xinetd.parse(POP2)
    splices = xinetd.set_attribute(document, document.services[0], name, value)
    assert apply_splices(POP2, splices) == POP2.replace(old, new)


def test_interface_is_changed_in_its_place_and_the_same_value_needs_no_splice():
    document = xinetd.parse(MAIN)
    splices = xinetd.set_attribute(document, defaults_of(MAIN), "bind", "::1")
    assert apply_splices(MAIN, splices) == MAIN.replace(b"= 192.0.2.10", b"= ::1")
    assert xinetd.set_attribute(document, defaults_of(MAIN), "bind", "192.0.2.10") == ()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("user", b"user = a b\nuser = c\nuser = d\n", b"user = a b\nuser = value\nuser = d\n"),
        ("env", b"env = A=b\nenv = C=d\nenv += E=f\n", b"env = A=b\nenv = value\nenv += E=f\n"),
    ],
)
def test_the_assignment_that_counts_is_changed(name, before, after):
    document = xinetd.parse(b"service a\n{\n" + before + b"}\n")
    splices = xinetd.set_attribute(document, document.services[0], name, "value")
    assert apply_splices(document.data, splices) == b"service a\n{\n" + after + b"}\n"


def test_the_first_line_of_an_empty_service():
    data = b"service a\n{\n}\n"
    document = xinetd.parse(data)
    splices = xinetd.set_attribute(document, document.services[0], "disable", "yes")
    assert apply_splices(data, splices) == b"service a\n{\n\tdisable = yes\n}\n"


bodies = st.lists(
    st.sampled_from(
        [b"\tdisable = no\n", b"  disable  =\n", b"disable += x\n", b"\tdisable = a b\n", b"# c\n"]
        + [b"\tbind = ::\n", b"\tinterface\t= a \t\n", b"\tuser = \xff\n", b"junk\n", b"\n"]
    ),
    max_size=5,
).map(b"".join)


@given(files, bodies, files, st.sampled_from(["disable", "bind", "user"]), st.integers(0, 3))
def test_an_attribute_set_is_read_back_and_nothing_else_changes(head, body, tail, name, index):
    data = head + b"\nservice pop2\n{\n" + body + b"}\n" + tail
    document = xinetd.parse(data)
    assume(document.services)
    at = min(index, len(document.services) - 1)
    splices = xinetd.set_attribute(document, document.services[at], name, "value")
    after = xinetd.parse(apply_splices(data, splices))
    assert len(after.services) == len(document.services)
    assert xinetd.effective(after.services[at], None)[name] == ("value",)
    assert after.data == data if not splices else unchanged_around(splices, data, after.data)


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", "x\ny"), ("a", "\0"), ("a b", "x"), ("", "x"), ("#a", "x"), ("a", "x\r")],
)
def test_what_would_not_be_read_back_is_not_written(name, value):
    document = xinetd.parse(POP2)
    with pytest.raises(ValueError, match=r"value|attribute"):
        xinetd.set_attribute(document, document.services[0], name, value)
