"""The change request, as a reader of Markdown sees it."""

from __future__ import annotations

from markdown_it import MarkdownIt

from mailseal.export import markdown
from mailseal.model.ops import Splice
from mailseal.starters.base import edit
from tests.export.make import plan, source

HOSTILE = "<script>x</script> [y](http://192.0.2.1) @somebody ```\n# owned\n| ` | $x"


def text(**changes: object) -> str:
    (file,) = markdown.export(source(**changes))
    assert (file.name, file.mode) == ("change-request.md", 0o600)
    return file.content.decode()


def test_it_has_what_a_change_request_needs_in_order() -> None:
    heads = [line[3:] for line in text().splitlines() if line.startswith("## ")]
    assert heads == [
        *("Why", "What changes, and who is affected", "Downtime", "Risk", "Steps"),
        *("Verification", "Undo", "Approvals"),
    ]


def test_who_is_cut_off_is_named() -> None:
    line = "  alice: 3 times from 192.0.2.7, last on 2026-01-31"
    assert line in text(headline=(*plan().headline, line))


def test_what_is_in_the_plan_is_never_markup() -> None:
    made = text(
        headline=(HOSTILE,),
        risks=(HOSTILE,),
        gap=HOSTILE,
        host=HOSTILE,
        made=HOSTILE,
        stage=HOSTILE,
    )
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(made)
    inline = [child for token in tokens for child in (token.children or [])]
    assert not [each for each in inline if each.type in ("html_inline", "link_open", "image")]
    assert not [each for each in tokens if each.type == "html_block"]
    shown = [each.content for each in inline if each.type == "text"]
    assert not [words for words in shown if "owned" in words or "somebody" in words]
    heads = [token for token in tokens if token.type == "heading_open" and token.tag == "h2"]
    assert len(heads) == 8


def test_steps_keep_their_numbers_with_blocks_between_them() -> None:
    tokens = MarkdownIt().parse(text())
    lists = [each for each in tokens if each.type == "ordered_list_open" and each.level == 0]
    # The steps, and the way back.
    assert len(lists) == 2


CONF = b"password = hunter2\nssl = no\nauth = plain\n"


def test_an_edit_is_shown_as_a_difference_without_the_lines_around() -> None:
    """Those may hold somebody's passwords."""
    op = edit("/etc/x.conf", CONF, [Splice(25, b"no", b"required"), Splice(len(CONF), b"", b"a\n")])
    block = [
        *("    ```diff", "    --- /etc/x.conf", "    +++ /etc/x.conf"),
        *("    @@ octet 19 @@", "    -ssl = no", "    +ssl = required"),
        *("    @@ octet 41 @@", "    +a", "    ```"),
    ]
    made = text(ops=(op,))
    assert "\n".join(block) in made
    assert "hunter2" not in made


def test_a_line_that_is_commented_out_goes_and_comes() -> None:
    made = text().split("\n")
    gone = [line[5:] for line in made if line.startswith("    -109 ")]
    assert len(gone) == 2
    assert gone == [line[5:].removeprefix("# mailseal: ") for line in made if line[:6] == "    +#"]
