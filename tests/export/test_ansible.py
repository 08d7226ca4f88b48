"""The role's text and the variables of a plan, in the hands of ansible-lint and of a YAML parser.
What it does to a host is in tests/lab.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.apply.operations import spliced
from mailseal.export import FLEETS, CannotExport, File, Source, ansible
from mailseal.model import ops
from mailseal.model.ops import EditFile, Listening, Splice, UnitAction, WriteFile
from mailseal.workflow.export import role
from tests.export.make import KINDS, STARTERS, plan, sample, source
from tests.export.programs import ansible as programs
from tests.export.programs import environment

ROLE = role()


def fleet(*starters: str) -> list[Source]:
    """A plan for each starter, of a host each."""
    made = [plan(starter) for starter in starters]
    return [
        replace(source(each, host=f"{starter}.example"), role=ROLE)
        for starter, each in zip(starters, made, strict=True)
    ]


def written(files: Sequence[File], folder: Path) -> Path:
    for each in files:
        path = folder / each.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.content)
        path.chmod(0o644)
    return folder


def variables(made: Source) -> str:
    """The text of the host's variables."""
    files = {each.name: each.content for each in FLEETS["ansible"]([made])}
    return files[f"host_vars/{made.plan.host}.yml"].decode("ascii")


_LOAD = """
import json, sys, yaml
yaml.SafeLoader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
print(json.dumps([yaml.safe_load(text) for text in json.load(sys.stdin)]))
"""


_TAGS = """
import json, sys, yaml
def values(node):
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from values(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from values(value)
    else:
        yield node.tag
print(json.dumps([tag for text in json.load(sys.stdin) for tag in values(yaml.compose(text))]))
"""


def asked(script: str, *texts: str) -> list[Any]:
    """What a script makes of texts with a YAML parser, Ansible's own."""
    done = subprocess.run(
        [programs() / "python", "-c", script],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def loaded(*texts: str) -> list[Any]:
    """The variables as they are read."""
    return asked(_LOAD, *texts)


@pytest.mark.slow
def test_the_production_profile_of_ansible_lint_has_nothing_to_say(tmp_path: Path) -> None:
    folder = written(FLEETS["ansible"](fleet(*STARTERS)), tmp_path / "fleet")
    lint = [str(programs() / "ansible-lint"), "--offline", "--strict", "--profile", "production"]
    done = subprocess.run(
        [*lint, "--nocolor"],
        cwd=folder,
        env=environment(tmp_path),
        capture_output=True,
        timeout=110,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert b"0 failure(s), 0 warning(s)" in done.stdout + done.stderr


def test_each_kind_of_step_has_its_two_files_and_no_file_is_left_over() -> None:
    names = {each.name for each in ROLE}
    for folder in ("do", "undo"):
        found = {name for name in names if name.startswith(f"roles/mailseal/tasks/{folder}/")}
        wanted = {f"roles/mailseal/tasks/{folder}/{kind.KIND}.yml" for kind in ansible._VALUES}
        assert found == wanted


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_each_kind_of_step_is_carried_or_refused_by_its_name(kind: type[Any]) -> None:
    op = sample(kind)
    if isinstance(op, ops.TryTerminator):
        with pytest.raises(CannotExport, match="try-terminator cannot be exported to ansible"):
            variables(source(ops=(op,)))
        op = replace(op, protocol="pop2")
    try:
        told = variables(source(ops=(op,)))
    except CannotExport as refused:
        told = f'"{refused}"'
    assert kind.KIND in told


def test_a_step_that_nobody_knows_is_refused_by_its_name() -> None:
    class Unheard:
        KIND = "unheard-of"

    with pytest.raises(CannotExport, match="unheard-of"):
        variables(source(ops=(Unheard(),)))


def test_every_variable_that_a_step_has_is_used_and_none_other() -> None:
    """Of the role, which is static: a name that is not there would be found on a host only."""
    text = "\n".join(each.content.decode() for each in ROLE)
    used = set(re.findall(r"mailseal_op\.(\w+)", text))
    given_ = {"number", "kind", "title", "foreseen", "changes"}
    for kind in KINDS:
        op = sample(kind)
        op = replace(op, protocol="pop2") if isinstance(op, ops.TryTerminator) else op
        if kind in ansible._VALUES:
            given_ |= ansible._VALUES[kind](source(), op).keys()
    assert used == given_


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        (("one.example", "one.example"), "two plans for one.example"),
        (("../../etc/x",), "cannot be a name in an inventory"),
        (("all",), "cannot be a name"),
        (("a[1:9]",), "cannot be a name"),
        (("a\n  evil: 1",), "cannot be a name"),
        (("",), "cannot be a name"),
    ],
)
def test_what_is_no_inventory_is_refused(hosts: Sequence[str], says: str) -> None:
    with pytest.raises(CannotExport, match=re.escape(says)):
        FLEETS["ansible"]([source(host=host) for host in hosts])


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ((WriteFile("/x", b"\xff", "root", "root", 0o644),), "step write-file has bytes that are"),
        ((EditFile("/x", "a", "b", (Splice(0, b"", b"\xff"),)),), "step edit-file has bytes that"),
        ((EditFile("/x", "a", "b", ()), EditFile("/x", "b", "c", ())), "comes to /x again"),
    ],
)
def test_what_cannot_be_carried_is_refused(steps: tuple[Any, ...], says: str) -> None:
    with pytest.raises(CannotExport, match=re.escape(says)):
        variables(source(ops=steps))


HOSTILE = "x\nmailseal_ops: []\r\u2028\x85'\"{{ 7 * 7 }}{% raw %}\\ # \U0001f600\x00\x1b[31m"


def test_words_of_others_stay_comments_and_data() -> None:
    """Names of users come from logs, where anybody writes them."""
    words = {"headline": (HOSTILE,), "risks": (HOSTILE,), "gap": HOSTILE, "made": HOSTILE}
    texts = [variables(source(**words)), variables(source())]
    hostile, honest = loaded(*texts)
    assert hostile == honest
    assert texts[0].isascii()


@given(st.lists(st.text(max_size=40), min_size=1, max_size=12))
@settings(max_examples=5, deadline=None)
def test_any_text_is_read_back_as_it_was(texts: list[str]) -> None:
    argv = (*texts, HOSTILE, "a" * 300, "b " * 300, "\\" * 300)
    (found,) = loaded(variables(source(ops=(ops.CheckConfiguration(argv, argv),))))
    assert found["mailseal_ops"][0]["argv"] == list(argv)


def test_every_text_of_a_plan_is_marked_as_no_template() -> None:
    tags = asked(_TAGS, variables(fleet("inetd")[0]))
    assert set(tags) == {"!unsafe", *(f"tag:yaml.org,2002:{kind}" for kind in ("int", "bool"))}


@given(st.binary(max_size=60), st.data())
@settings(max_examples=100, deadline=None)
def test_the_pieces_of_an_edit_give_the_bytes_that_apply_gives(
    old: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(old)), max_size=6)))
    news = data.draw(st.lists(st.text(max_size=20), min_size=3, max_size=3))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    splices = tuple(
        Splice(a, old[a:b], new.encode()) for (a, b), new in zip(pairs, news, strict=False)
    )
    made = ansible._edit(source(), EditFile("/f", "", "", splices))
    told = b"".join(
        old[piece["start"] : piece["end"]] + base64.b64decode(piece["text"])
        for piece in made["pieces"]
    )
    assert told + old[made["rest"] :] == spliced(old, splices)


def test_sockets_are_told_by_the_network_that_they_are_in_and_the_last_word_counts() -> None:
    there = Listening("::", 109, True)
    steps = (
        UnitAction("a", "stop", "", (replace(there, present=False),)),
        UnitAction("b", "start", "", (there, Listening("192.0.2.1", 109, True, "b"))),
    )
    (found,) = loaded(variables(source(ops=steps)))
    assert found["mailseal_sockets"] == [
        {"unit": "", "there": [["[::]:109", "*:109"]], "gone": []},
        {"unit": "b", "there": [["192.0.2.1:109"]], "gone": []},
    ]
    assert found["mailseal_ops"][0]["wanted"] == [
        {"unit": "", "there": [], "gone": ["[::]:109", "*:109"]}
    ]


LOOK = re.search(rb"(?ms)^mailseal_look: \|\n(.*?)\n\n", b"".join(each.content for each in ROLE))
REMOVE = re.search(
    rb"(?ms)^mailseal_remove: \|\n(.*?)\n\n", b"".join(each.content for each in ROLE)
)


def run(script: re.Match[bytes] | None, *words: str) -> subprocess.CompletedProcess[str]:
    assert script
    argv = ["sh", "-c", script[1].decode(), "sh", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30)


def test_a_look_tells_what_is_at_each_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("some where")
    paths = [str(tmp_path / name) for name in ("none", "file", "link", ".")]
    done = run(LOOK, str(tmp_path / "lock"), *paths)
    x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert done.stdout.splitlines()[-5:] == ["free", "absent", x, "link to some where", "present"]
    assert not os.path.exists(tmp_path / "lock")


@pytest.mark.parametrize(
    ("told", "noted", "code"),
    [("OURS", "", 0), ("OTHER", "", 6), ("", "OURS", 0), ("", "x", 6), ("OTHER OURS", "", 0)],
)
def test_only_what_is_ours_is_removed(tmp_path: Path, told: str, noted: str, code: int) -> None:
    ours = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "note").write_text(noted.replace("OURS", ours))
    done = run(REMOVE, str(tmp_path / "file"), told.replace("OURS", ours), str(tmp_path / "note"))
    assert done.returncode == code, done.stderr
    assert (tmp_path / "file").exists() == bool(code)


@pytest.mark.parametrize(
    ("end", "code"), [("was made here, and its CA", 0), ("its CA", 0), ("CB", 6), ("", 6)]
)
def test_what_was_renewed_since_is_ours_by_its_end(tmp_path: Path, end: str, code: int) -> None:
    (tmp_path / "file").write_text("was made here, and its CA")
    (tmp_path / "note").write_text("0" * 64)
    (tmp_path / "end").write_text(end)
    words = [str(tmp_path / "file"), "", str(tmp_path / "note"), str(tmp_path / "end")]
    assert run(REMOVE, *words).returncode == code
