"""Unit files and drop-ins: what systemd reads, command lines, and edits that change one line."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailseal.configs import systemd
from mailseal.configs.systemd import Command
from mailseal.configs.text import Span, apply_splices
from tests.configs.common import check_laws, files, unchanged_around

UNIT = b"""\
# POP2 by socket
[Unit]
Description = POP2, one\\
# not this
  ; nor this
\tsession

[Socket]
ListenStream=109
ListenStream=[::1]:109
Accept=yes

[Service]
ExecStart=-/usr/sbin/ipop2d \\
    -d
Environment="A=b c"
"""


@given(files)
@example(b"\xef\xbb\xbf[a]\rb=c")
def test_no_byte_is_lost(data):
    check_laws(systemd.parse(data), data)


def test_a_unit_is_read():
    document = systemd.parse(UNIT)
    assert document.malformed == ()
    assert systemd.effective([document]) == {
        "Unit": {"Description": ("POP2, one \tsession",)},
        "Socket": {"ListenStream": ("109", "[::1]:109"), "Accept": ("yes",)},
        "Service": {"ExecStart": ("-/usr/sbin/ipop2d      -d",), "Environment": ('"A=b c"',)},
    }


def test_an_empty_assignment_takes_back_what_came_before():
    drop_in = systemd.parse(b"[Socket]\nListenStream=\nListenStream=127.0.0.1:10109\nAccept=\n")
    found = systemd.effective([systemd.parse(UNIT), drop_in])["Socket"]
    assert found == {"ListenStream": ("127.0.0.1:10109",), "Accept": ()}


def test_positions_are_those_of_the_file():
    (option,) = systemd.parse(UNIT).options("Service", "ExecStart")
    start = UNIT.index(b"ExecStart")
    assert option.key.span == Span(14, 1, start, start + 9)
    assert option.value.span == Span(14, 11, start + 10, UNIT.index(b"\nEnvironment"))


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b"[S]\nK=a\\\\\nL=b\n", {"K": ("a\\\\",), "L": ("b",)}),
        (b"[S]\nK=a\\\n\nL=b\n", {"K": ("a",), "L": ("b",)}),
        (b"[S]\nK=a\\\nL=b\n", {"K": ("a L=b",)}),
        (b"[S]\nK=a\\", {"K": ("a",)}),
        (b"[S]\nK=a \\ \nL=b\n", {"K": ("a \\",), "L": ("b",)}),
        (b"[S]\r\n K\t= a\t\r\nL=b", {"K": ("a",), "L": ("b",)}),
        (b"[S]\n# x\rK=a\0L=b", {"K": ("a",), "L": ("b",)}),
        (b"\xef\xbb\xbf[S]\nK==a=", {"K": ("=a=",)}),
        (b"[S]\nK=a # b\n", {"K": ("a # b",)}),
        (b"[S]\nK=\xff\nK=\xc3\xa9\n", {"K": ("\u00e9",)}),
        (b"[S]\nK=a\n[T]\n[S]\nK=b\n", {"K": ("a", "b")}),
    ],
)
def test_lines(data, values):
    assert systemd.effective([systemd.parse(data)])["S"] == values


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"K=a\n", "outside of a section"),
        (b"[S]\njunk\n", "no '='"),
        (b"[S]\n=a\n", "no name"),
        (b"[S]\nK=\xff\n", "not UTF-8"),
        (b"[S\n", "name of a section"),
        (b"[]\n", "name of a section"),
        (b"[S]\nK\\\n=a\n", "may still read"),
        (b"[S]\nK=" + b"a" * systemd.MAX_LINE + b"\n", "longer than"),
    ],
)
def test_what_systemd_refuses_or_ignores_is_malformed(data, reason):
    (item,) = systemd.parse(data).malformed
    assert reason in item.reason


def test_nothing_belongs_to_a_section_whose_name_is_broken():
    document = systemd.parse(b"[A]\nK=a\n[B\nK=b\n")
    assert systemd.effective([document]) == {"A": {"K": ("a",)}}
    assert len(document.malformed) == 2


# ---- command lines -------------------------------------------------------------------------------


def command(*argv: str, prefixes: str = "") -> Command:
    return Command(prefixes, argv[0], argv)


COMMANDS = [
    ("", ()),
    ("  ", ()),
    ("/bin/a -b", (command("/bin/a", "-b"),)),
    ("-/bin/a", (command("/bin/a", prefixes="-"),)),
    ("@/bin/a b c", (Command("@", "/bin/a", ("b", "c")),)),
    ("-@!!/bin/a b", (Command("-@!!", "/bin/a", ("b",)),)),
    ("+:/bin/a", (command("/bin/a", prefixes="+:"),)),
    ("/a 'b c' \"d e\" ''", (command("/a", "b c", "d e", ""),)),
    ("/a b'c d'e", (command("/a", "bc de"),)),
    ("'-/bin/a b' c", (command("/bin/a b", "c", prefixes="-"),)),
    ("/a \"it's\" '\"'", (command("/a", "it's", '"'),)),
    ("/a \\x41\\101\\u00e9\\s\\n", (command("/a", "AA\u00e9 \n"),)),
    ("/a \\xc3\\xa9", (command("/a", "\u00e9"),)),
    ("/a \\q \\x4 \\x00 \\", (command("/a", "\\q", "\\x4", "\\x00", "\\"),)),
    ("/a ; /b c ;", (command("/a"), command("/b", "c"))),
    ('/a \\; ";" x;y', (command("/a", ";", ";", "x;y"),)),
    ("/a ;b \\;c", (command("/a", ";b", "\\;c"),)),
    ("/a $X ${Y} %i $$", (command("/a", "$X", "${Y}", "%i", "$$"),)),
    ("/a 'b", None),
    ('/a "b\\"', None),
    ("-", None),
    ("@/a", None),
    ('"" a', None),
    ("/a ; -", None),
]


@pytest.mark.parametrize(("value", "commands"), COMMANDS)
def test_command_lines(value, commands):
    assert systemd.split_exec(value) == commands


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
paths = st.text("/ab \"'\\;\u00e9", min_size=1, max_size=8)


@given(
    st.lists(
        st.one_of(
            st.builds(
                lambda prefixes, path, rest: Command(prefixes, path, (path, *rest)),
                st.sampled_from(["", "-", "+", "!!", "-:"]), paths, st.lists(words, max_size=4),
            ),
            st.builds(
                lambda path, argv: Command("@", path, tuple(argv)),
                paths, st.lists(words, min_size=1, max_size=4),
            ),
        ),
        max_size=3,
    ).map(tuple)
)  # fmt: skip
def test_commands_joined_are_split_again_even_through_a_file(commands):
    line = systemd.join_exec(commands)
    assert systemd.split_exec(line) == commands
    unit = systemd.parse(systemd.compose([("Service", [("ExecStart", line)])]))
    assert unit.options("Service", "ExecStart")[0].value.text == line


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_line_is_split_or_refused(value):
    commands = systemd.split_exec(value)
    assert commands is None or all(each.path and each.argv for each in commands)


@pytest.mark.parametrize(
    "bad",
    [Command("", "-/a", ("-/a",)), Command("", "", ("",)), Command("", "/a", ("b",))]
    + [Command("x", "/a", ("/a",)), Command("", "/a", ("/a", "\0")), Command("@", "/a", ())],
)
def test_commands_that_no_line_says_are_refused(bad):
    with pytest.raises(ValueError, match="no command line"):
        systemd.join_exec([bad])


# ---- edits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "key", "value", "old", "new"),
    [
        ("Socket", "Accept", "no", b"Accept=yes", b"Accept=no"),
        ("Socket", "ListenStream", "1", b"=[::1]:109", b"=1"),
        ("Socket", "Backlog", "9", b"Accept=yes\n", b"Accept=yes\nBacklog=9\n"),
        ("Service", "ExecStart", "/b", b"-/usr/sbin/ipop2d \\\n    -d\n", b"/b\n"),
        ("Service", "User", "x", b'"A=b c"\n', b'"A=b c"\nUser=x\n'),
        ("Install", "Also", "y", b'"A=b c"\n', b'"A=b c"\n\n[Install]\nAlso=y\n'),
    ],
)
def test_edits_of_a_unit(section, key, value, old, new):
    splices = systemd.set_option(systemd.parse(UNIT), section, key, value)
    assert apply_splices(UNIT, splices) == UNIT.replace(old, new)


def test_a_new_drop_in_and_an_unfinished_last_line():
    empty = systemd.parse(b"")
    splices = systemd.set_option(empty, "Socket", "ListenStream", "")
    assert apply_splices(b"", splices) == b"[Socket]\nListenStream=\n"
    data = b"[S]\nK=a \\"
    splices = systemd.set_option(systemd.parse(data), "S", "L", "b")
    assert apply_splices(data, splices) == b"[S]\nK=a \\\n\nL=b\n"
    assert systemd.set_option(systemd.parse(UNIT), "Socket", "Accept", "yes") == ()


names = st.sampled_from(["S", "T"])
values = st.text(
    st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=9
).map(lambda value: value.strip(" \t\v\f").rstrip("\\").rstrip(" \t\v\f"))
PARTS = (
    b"[S]\n", b"[T]\r\n", b"K=a\n", b"L = b \\\n", b" K=c\n", b"# c\n", b"\\\n", b"\n", b"K=\\",
    b"[S", b"K=\xff\n", b"\r", b"\0",
)  # fmt: skip


@given(
    st.lists(st.one_of(st.sampled_from(PARTS), files), max_size=8).map(b"".join),
    names, st.sampled_from(["K", "L"]), values,
)  # fmt: skip
def test_an_option_set_is_read_back_and_nothing_else_changes(data, section, key, value):
    before = systemd.parse(data)
    splices = systemd.set_option(before, section, key, value)
    after = systemd.parse(apply_splices(data, splices))
    assert after.options(section, key)[-1].value.text == value
    assert after.data == data if not splices else unchanged_around(splices, data, after.data)

    def others(document: systemd.Document) -> list[tuple[str, str, str]]:
        return [
            (item.section, item.key.text, item.value.text)
            for item in document.items
            if isinstance(item, systemd.Option) and (item.section, item.key.text) != (section, key)
        ]

    assert others(after) == others(before)


@given(st.lists(st.tuples(names, st.lists(st.tuples(st.sampled_from("KL"), values))), max_size=3))
def test_what_is_composed_is_read_back(sections):
    document = systemd.parse(systemd.compose(sections))
    assert document.malformed == ()
    read = [
        (item.section, item.key.text, item.value.text)
        for item in document.items
        if isinstance(item, systemd.Option)
    ]
    assert read == [(name, key, value) for name, own in sections for key, value in own]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("S", "K", "a\nb"), ("S", "K", "a\\"), ("S", "K", " a"), ("S", "K=", "a"), ("S", "", "a")]
    + [("S]", "K", "a"), ("", "K", "a"), ("S", "K", "\udcff"), ("S", "#K", "a")],
)
def test_what_would_not_be_read_back_is_not_written(section, key, value):
    with pytest.raises(ValueError, match=r"value|name|option|utf-8"):
        systemd.compose([(section, [(key, value)])])
