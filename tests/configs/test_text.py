"""Splices say exactly what they change; diffs hide nothing; very long files stay cheap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import inetd, stunnel, systemd, text, xinetd
from mailseal.configs.text import Splice


@given(st.binary())
def test_values_go_back_to_their_bytes(data):
    assert text.encode(text.decode(data)) == data


@given(st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5), st.binary(max_size=5))))
def test_splices_replace_what_they_name_and_nothing_else(parts):
    before, after, splices = b"", b"", []
    for keep, old, new in parts:
        before += keep
        after += keep
        splices.append(Splice(len(before), old, new))
        before += old
        after += new
    assert text.apply_splices(before, splices) == after


def test_the_order_in_which_splices_are_given_does_not_matter():
    splices = [Splice(4, b"e", b"E"), Splice(0, b"a", b"A")]
    assert text.apply_splices(b"abcde", splices) == b"AbcdE"


def test_insertions_at_one_place_keep_their_order():
    assert text.apply_splices(b"ac", [Splice(1, b"", b"1"), Splice(1, b"", b"2")]) == b"a12c"


@pytest.mark.parametrize(
    "splices",
    [
        [Splice(0, b"x", b"")],
        [Splice(2, b"cd", b"")],
        [Splice(4, b"", b"x")],
        [Splice(0, b"ab", b""), Splice(1, b"b", b"")],
    ],
    ids=["other bytes", "past the end", "beyond the file", "overlap"],
)
def test_splices_that_do_not_fit_are_refused(splices):
    with pytest.raises(ValueError, match=r"splices overlap|are not those"):
        text.apply_splices(b"abc", splices)


WORDS = st.text("ab \n\xe9", max_size=6).map(str.encode)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=5), WORDS)
def test_whole_lines_are_the_same_change(parts, rest):
    before, splices = b"", []
    for keep, old, new in parts:
        before += keep
        splices.append(Splice(len(before), old, new))
        before += old
    before += rest
    whole = text.whole_lines(before, splices)
    after = text.apply_splices(before, splices)
    assert text.apply_splices(before, whole) == after
    for each in whole:
        end = each.offset + len(each.old)
        assert each.offset == 0 or before[each.offset - 1 : each.offset] == b"\n"
        for data in (each.old, each.new):
            assert not data or data.endswith(b"\n") or end == len(before)
    # No line comes twice: those that meet are one.
    ends = [each.offset + len(each.old) for each in whole]
    assert all(each.offset > end for each, end in zip(whole[1:], ends, strict=False))


def test_lines_around_a_change_are_not_in_it():
    data = b"secret = 1\nport = 1\nsecret = 2\n"
    assert text.whole_lines(data, [Splice(18, b"1", b"2")]) == (
        Splice(11, b"port = 1\n", b"port = 2\n"),
    )
    assert text.whole_lines(data, [Splice(11, b"", b"# ")]) == (
        Splice(11, b"port = 1\n", b"# port = 1\n"),
    )
    added = (Splice(11, b"", b"new\n"),)
    assert text.whole_lines(data, added) == added


def test_a_line_that_is_no_text_keeps_its_splices():
    splice = Splice(0, b"", b"# ")
    assert text.whole_lines(b"port # \xff\n", [splice]) == (splice,)


def test_a_diff_shows_what_changes():
    assert text.diff("etc/x", b"a\nb\nc\n", b"a\nB\nc\n") == (
        "--- a/etc/x\n+++ b/etc/x\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
    )


def test_a_diff_of_equal_files_is_empty():
    assert text.diff("x", b"a", b"a") == ""


def test_a_diff_makes_hostile_bytes_visible():
    after = b"\x1b[2Jok\r\x00\xff\xc2\x9b\xe2\x80\xae\tcaf\xc3\xa9\n"
    shown = text.diff("x\x1b]0;", b"", after)
    assert "+\\x1b[2Jok\\r\\x00\\xff\\x9b\\u202e\tcafé\n" in shown
    assert "b/x\\x1b]0;\n" in shown


def test_a_diff_says_where_the_last_line_does_not_end():
    assert text.diff("x", b"a\n", b"a").endswith("-a\n+a\n\\ No newline at end of file\n")


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_control_character_leaves_a_diff(before, after):
    shown = text.diff("x", before, after)
    assert (shown == "") == (before == after)
    assert all(character.isprintable() or character in "\t\n" for character in shown)


@pytest.mark.parametrize("module", [inetd, stunnel, systemd, xinetd])
def test_the_rest_of_an_endless_file_is_told_as_not_read(module):
    data = b"# x\n" * (text.MAX_LINES + 2)
    document = module.parse(data)
    assert b"".join(document.pieces) == data
    (rest,) = document.malformed
    assert rest.span.line == text.MAX_LINES + 1
    assert rest.span.end - rest.span.start == 8


# Each would take minutes, not seconds, with a step that looks back over what it has read.
GARBAGE = {
    "empty lines": b"\n" * 2_000_000,
    "one line": b"a" * 2_000_000,
    "many words": b"a " * 1_000_000,
    "backslashes": b"\\\n" * 1_000_000,
    "services never opened": b"service x\n" * 200_000,
    "continuation": b"a b\n" + b" c\n" * 600_000,
    "blanks after a name": b"service x\n{\n a" + b" " * 2_000_000,
}


@pytest.mark.parametrize("module", [inetd, stunnel, systemd, xinetd])
@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.timeout(20)
def test_parsing_is_linear(module, name):
    assert b"".join(module.parse(GARBAGE[name]).pieces) == GARBAGE[name]
