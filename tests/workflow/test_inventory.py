"""Targets from words and lists: all that is wrong is said at once, nothing is kept."""

import os
import threading
from pathlib import Path

import pytest

from mailseal.model.target import Target
from mailseal.probe import targets
from mailseal.probe.targets import Unresolved
from mailseal.workflow import BadInput
from mailseal.workflow.inventory import FAULTS, Inventory, Listing, Word, permit, rules


def listing(tmp_path: Path, text: str | bytes, name: str = "hosts.txt") -> Listing:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Listing(str(path))


def test_a_list_has_comments_and_blank_lines(tmp_path: Path):
    lines = listing(tmp_path, "# hosts\n\n mail.example  # ours\r\n192.0.2.7:110")
    name = f"{tmp_path}/hosts.txt"
    words = [Word("mail.example", name, 3), Word("192.0.2.7:110", name, 4)]
    assert list(lines.words()) == words
    assert list(lines.words()) == words, "it can be read again"
    lines.close()


def test_hosts_come_before_networks_and_are_counted(tmp_path: Path):
    lines = listing(tmp_path, "192.0.2.0/30\nmail.example\n192.0.2.9:25\n")
    name = f"{tmp_path}/hosts.txt"
    found = Inventory([Word("198.51.100.0/31")], [lines], (109, 110))
    assert list(found) == [
        Target("mail.example", (109, 110), False, (name, 2)),
        Target("192.0.2.9", (25,), True, (name, 3)),
        Target("198.51.100.0/31", (109, 110)),
        Target("192.0.2.0/30", (109, 110), False, (name, 1)),
    ]
    assert (found.total, found.exact, found.network) == (2 + 1 + 4 + 4, False, "198.51.100.0/31")
    lines.close()


def test_every_fault_is_named_with_its_line_up_to_a_number(tmp_path: Path):
    bad = "".join(f"mail.example\na b{number}\n" for number in range(FAULTS + 3))
    lines = listing(tmp_path, bad)
    with pytest.raises(BadInput) as refused:
        Inventory([Word("x:0")], [lines], (109,))
    said = str(refused.value).splitlines()
    assert len(said) == FAULTS + 1
    assert said[0] == "'x:0': '0' is no port (1 to 65535)"
    assert said[1].startswith(f"{tmp_path}/hosts.txt, line 2: 'a b0' is no host name")
    assert said[-1] == "and 4 more"
    lines.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a" * 5000 + b"\n", "line 1: longer than 1024 octets"),
        (b"mail.example\n\xff\x00\x1b[2J\n", "line 2: "),
        (b"2001:db8::/64\n", "write smaller networks"),
        (b"", "there is no target"),
        (b"# nothing\n\n", "there is no target"),
    ],
)
def test_a_list_that_cannot_be_used(tmp_path: Path, text: bytes, words: str):
    lines = listing(tmp_path, text)
    with pytest.raises(BadInput) as refused:
        Inventory([], [lines], (109,))
    assert words in str(refused.value)
    assert str(refused.value).replace("\n", "").isprintable()
    lines.close()


def test_a_pipe_is_read_twice_all_the_same(tmp_path: Path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"192.0.2.1\n192.0.2.2\n",))
    writer.start()
    lines = Listing(str(path))
    writer.join(5)
    found = Inventory([], [lines], (109,))
    assert [len(list(found)), len(list(found)), found.total] == [2, 2, 2]
    lines.close()


def test_a_list_that_changes_under_the_scan_is_said(tmp_path: Path):
    lines = listing(tmp_path, "192.0.2.1\n192.0.2.2\n")
    found = Inventory([], [lines], (109,))
    (tmp_path / "hosts.txt").write_text("192.0.2.1\nwhat is this\n")
    with pytest.raises(BadInput, match=r"changed while it was read: .*line 2"):
        list(found)
    lines.close()


@pytest.mark.parametrize("path", ["/nonexistent/hosts", "/"])
def test_a_list_that_cannot_be_read(path: str):
    with pytest.raises(BadInput, match="cannot be read"):
        Listing(path)


def test_scope_files_name_their_faults(tmp_path: Path):
    lines = listing(tmp_path, "192.0.2.0/24\nmail.example:25\n*.example.org # ours\n", "ours.txt")
    with pytest.raises(BadInput, match=r"ours.txt, line 2: .* is no address, network"):
        rules([], [lines])
    lines.close()


def test_an_excluded_name_excludes_its_addresses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(targets, "addresses", lambda name: ["192.0.2.1", "2001:db8::1"])
    made = permit(None, ["printer.example", "*.lab.example"], [])
    assert made.refusal("192.0.2.1")
    assert made.refusal("2001:db8::1")
    assert not made.refusal("192.0.2.2")


def test_an_excluded_name_without_an_address_stops_the_scan(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(targets, "addresses", lambda name: Unresolved(name, "not known"))
    with pytest.raises(BadInput, match=r"printer\.example is excluded, but not known"):
        permit(None, ["printer.example"], [])
