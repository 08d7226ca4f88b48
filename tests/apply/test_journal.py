"""The journal: whole lines count, a torn last one never was, a damaged one is an error."""

import zlib

import pytest

from mailseal.apply.journal import Journal, JournalDamaged
from mailseal.model.plan import RunState
from mailseal.system.memory import Killed, MemorySystem, Point

PATH = "/tmp/journal"


def written(*names: str) -> MemorySystem:
    system = MemorySystem()
    journal = Journal(system, PATH)
    for number, name in enumerate(names):
        journal.write(name, op=number)
    return system


def names(system: MemorySystem) -> list[str]:
    return [record["what"] for record in Journal(system, PATH).records]


def damage(system: MemorySystem, line: int) -> None:
    lines = system.read(PATH).split(b"\n")
    lines[line] = lines[line].replace(b'"op"', b'"oq"')
    system.put(PATH, b"\n".join(lines))


def test_what_is_written_is_read_and_the_state_is_the_last_that_names_one():
    system = written("begin", "intent", "done")
    assert names(system) == ["begin", "intent", "done"]
    for what, state in (
        ("held", RunState.HELD),
        ("commit", RunState.COMMITTED),
        ("undo-begin", RunState.UNDOING),
        ("undone", RunState.UNDOING),
        ("undo-failed", RunState.UNDO_FAILED),
        ("rolled-back", RunState.UNDONE),
    ):
        Journal(system, PATH).write(what, op=0)
        assert Journal(system, PATH).state is state
    assert Journal(MemorySystem(), PATH).state is None


def test_each_line_carries_its_checksum():
    checksum, _, body = written("begin").read(PATH).strip().partition(b" ")
    assert int(checksum, 16) == zlib.crc32(body)


def test_a_line_torn_at_any_octet_never_was_and_what_follows_is_read():
    whole = written("begin", "intent").read(PATH)
    start = whole.index(b"\n") + 1
    for end in range(start, len(whole)):
        system = MemorySystem()
        system.put(PATH, whole[:end])
        # All but the line end: the record is whole, and counts.
        kept = ["begin"] if end < len(whole) - 1 else ["begin", "intent"]
        assert names(system) == kept
        Journal(system, PATH).write("undo-begin")
        Journal(system, PATH).write("rolled-back")
        assert names(system) == [*kept, "undo-begin", "rolled-back"]


def test_lines_torn_one_after_the_other_never_were():
    """A recovery that was killed in its own first record, and the next one again."""
    system = written("begin", "intent")
    system.put(PATH, system.read(PATH)[:-9])

    def dies(point: Point) -> None:
        if point.when == "during":
            raise Killed(point)

    for _ in range(3):
        journal = Journal(system, PATH)
        system.fail = dies
        with pytest.raises(Killed):
            journal.write("undo-begin")
        system.fail = None
        system.revive()
        assert names(system) == ["begin"]
    Journal(system, PATH).write("undo-begin")
    assert names(system) == ["begin", "undo-begin"]


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_damaged_line_is_an_error_that_names_it(line):
    system = written("begin", "intent", "done", "held")
    damage(system, line)
    with pytest.raises(JournalDamaged, match=f"{PATH}, line {line + 1}"):
        Journal(system, PATH)


def test_a_damaged_last_line_with_its_line_end_is_an_error():
    system = written("begin", "intent")
    damage(system, 1)
    with pytest.raises(JournalDamaged, match="line 2"):
        Journal(system, PATH)


def test_intents_come_last_first_and_what_was_undone_is_known():
    system = written("begin")
    journal = Journal(system, PATH)
    for number in (0, 1, 2):
        journal.write("intent", op=number)
    journal.write("undone", op=2)
    again = Journal(system, PATH)
    assert [record["op"] for record in again.intents()] == [2, 1, 0]
    assert again.undone() == {2}


def test_a_record_that_could_not_be_written_is_known_to_this_process_alone():
    system = written("begin")
    journal = Journal(system, PATH)

    def full(point: Point) -> None:
        raise OSError(28, "No space left on device")

    system.fail = full
    with pytest.raises(OSError, match="No space"):
        journal.write("rolled-back")
    system.fail = None
    assert journal.state is RunState.UNDONE
    assert Journal(system, PATH).state is RunState.APPLYING
