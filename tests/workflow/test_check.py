"""What `check` makes of looks, of what is known, and of files."""

import gc
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.check import fill
from mailseal.model.look import Endpoint
from mailseal.model.moment import seconds
from mailseal.model.policy import Deviation, Requirements, SealPolicy, State
from mailseal.report import records
from mailseal.report.check import Sum
from mailseal.store import Store
from mailseal.workflow import BadInput, check, policies
from mailseal.workflow.check import Request
from mailseal.workflow.postures import ALL, of_known, of_result
from mailseal.workflow.recording import Recorder
from tests.certs import make as certificates
from tests.store.make import look, moment, record, result

DAY = 1440.0
"""Minutes."""
NOW = seconds(moment(10 * DAY))
HERE = Endpoint("192.0.2.7", 109)
THERE = Endpoint("198.51.100.4", 109)
POLICY = SealPolicy("here", "0" * 64, Requirements(rules=policies.KNOWN.listed))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store.sqlite3")) as store:
        yield store


def silent(words: str) -> None:
    raise AssertionError(words)


def checked(
    request: Request, store: Store | None = None, policy: SealPolicy = POLICY
) -> tuple[Sum, list[Deviation]]:
    total = Sum(policy)
    memory = Recorder(store if check.looks(request) else None, silent)
    now = time.time if check.looks(request) else lambda: NOW
    return total, list(check.check(request, total, memory, store, silent, now))


def states(found: list[Deviation]) -> list[tuple[str, str, str]]:
    return [(each.place, each.rule, each.state.value) for each in found]


STORED = Request(stored=True)
POP2 = "pop2-cleartext-login"


# -- what is known ---------------------------------------------------------------------------------


def test_what_is_known_is_held_against_what_was_known_a_day_ago(store: Store):
    record(store, look("exposed", 5 * DAY))
    record(store, look("exposed", 9.9 * DAY))
    record(store, look("exposed", 9.5 * DAY, endpoint=THERE))
    for day, kind in ((8, "exposed"), (9.5, "refused")):
        record(store, look(kind, day * DAY, endpoint=Endpoint("198.51.100.5", 109)))
    for day, kind in ((7, "exposed"), (8, "refused"), (9.8, "refused")):
        record(store, look(kind, day * DAY, endpoint=Endpoint("198.51.100.6", 109)))
    total, found = checked(STORED, store)
    assert states(found) == [
        ("192.0.2.7:109", POP2, "unchanged"),
        ("198.51.100.4:109", POP2, "new"),
        ("198.51.100.5:109", POP2, "fixed"),
    ]
    assert (total.endpoints, total.failing, total.undecided) == (4, 2, False)
    _, earlier = checked(Request(stored=True, since="4d"), store)
    assert states(earlier)[0][2] == "unchanged"
    _, before = checked(Request(stored=True, since="2026-01-15"), store)
    assert [each.state for each in before] == [State.NEW, State.NEW]


def test_where_nothing_is_known_nothing_is_clean(store: Store):
    total, found = checked(STORED, store)
    assert (found, total.undecided) == ([], True)


def test_targets_choose_and_count_once(store: Store):
    for endpoint in (HERE, THERE, Endpoint("192.0.2.7", 110)):
        record(store, look("exposed", 9.5 * DAY, endpoint=endpoint))
    for targets, count in (
        (("192.0.2.7",), 2),
        (("192.0.2.7:109", "192.0.2.0/24", "192.0.2.7"), 2),
        (("mail.example:109",), 2),
        (("198.51.100.0/24",), 1),
    ):
        total, _ = checked(Request(stored=True, targets=targets), store)
        assert total.endpoints == count


def test_a_target_of_which_nothing_is_known_is_undecided(store: Store):
    record(store, look("refused", 9.5 * DAY))
    policy = SealPolicy("here", "", POLICY.asked, targets=("192.0.2.7", "pop.example:110"))
    total, found = checked(STORED, store, policy)
    assert states(found) == [("pop.example:110", "inconclusive", "undecided")]
    assert total.undecided
    with pytest.raises(BadInput, match="no host name, address or network"):
        checked(Request(stored=True, targets=("a b",)), store)


def test_a_port_that_is_closed_keeps_every_rule(store: Store):
    record(store, look("exposed", 5 * DAY))
    record(store, look("closed", 9.5 * DAY))
    (known,) = store.standing(check._filter(None, ""))
    assert of_known(known).kept[-len(ALL) :] == ALL
    assert states(checked(STORED, store)[1]) == [("192.0.2.7:109", POP2, "fixed")]


def test_a_service_that_the_policy_names_must_answer(store: Store):
    policy = SealPolicy("here", "", POLICY.asked, services=("192.0.2.7:109", "[2001:db8::7]:110"))
    for day, kind in ((8, "refused"), (9.5, "closed")):
        record(store, look(kind, day * DAY))
    total, found = checked(STORED, store, policy)
    assert states(found) == [
        ("192.0.2.7:109", "service-gone", "new"),
        ("[2001:db8::7]:110", "inconclusive", "undecided"),
    ]
    record(store, look("refused", 9.9 * DAY))
    _, again = checked(Request(stored=True, since="5h"), store, policy)
    assert states(again)[0] == ("192.0.2.7:109", "service-gone", "fixed")
    assert total.failing == 1


def test_silence_fixes_nothing(store: Store):
    record(store, look("exposed", 5 * DAY))
    record(store, look("filtered", 9.5 * DAY))
    assert states(checked(STORED, store)[1]) == [("192.0.2.7:109", POP2, "unchanged")]


# -- a baseline in a file --------------------------------------------------------------------------


def test_what_was_told_before_is_a_baseline(store: Store, tmp_path: Path):
    record(store, look("exposed", 9.5 * DAY))
    _, found = checked(STORED, store)
    path = tmp_path / "baseline.ndjson"
    path.write_text("".join(records.line(each) + "\n" for each in found))
    _, again = checked(Request(stored=True, baseline=str(path)), store)
    assert states(again) == [("192.0.2.7:109", POP2, "unchanged")]
    record(store, look("refused", 9.9 * DAY))
    _, fixed = checked(Request(stored=True, baseline=str(path)), store)
    assert states(fixed) == [("192.0.2.7:109", POP2, "fixed")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{}\n", "line 1: .* writes a baseline"),
        (b"\xff\xfe", "line 1: "),
        (b'{"type":"Login","version":1}', "line 1: "),
        (b"[" * 100_000, "line 1: "),
    ],
)
def test_a_baseline_that_is_none_is_refused(store: Store, tmp_path: Path, text: bytes, says: str):
    path = tmp_path / "baseline"
    path.write_bytes(text)
    with pytest.raises(BadInput, match=says):
        checked(Request(stored=True, baseline=str(path)), store)
    with pytest.raises(BadInput, match="cannot be read"):
        checked(Request(stored=True, baseline=str(tmp_path / "none")), store)
    with pytest.raises(BadInput, match="give one"):
        checked(Request(stored=True, baseline=str(path), since="1d"), store)


# -- looks -----------------------------------------------------------------------------------------


def test_without_a_target_there_is_nothing_to_look_at():
    with pytest.raises(BadInput, match="name a target"):
        checked(Request())


def test_a_name_that_leads_nowhere_is_undecided():
    total, found = checked(Request(targets=("no.invalid",)))
    assert [(each.name, each.rule) for each in found] == [("no.invalid", "inconclusive")]
    assert (total.endpoints, total.undecided) == (1, True)


def test_a_look_keeps_what_it_looked_for():
    exposed, refused, closed, filtered = (
        of_result(result(look(kind))) for kind in ("exposed", "refused", "closed", "filtered")
    )
    assert exposed
    assert refused
    assert closed
    assert filtered
    assert [each.rule for each in exposed.findings] == [POP2]
    assert POP2 in refused.kept
    assert POP2 not in exposed.kept
    assert closed.kept == ALL
    assert filtered.kept == ()
    assert exposed.name == "mail.example"


def test_of_several_certificates_the_first_to_end_counts():
    def tls(until: str):
        seen = look("exposed", 1, rule="tls-version")
        assert seen.tls
        chain = (certificates.certificate(until=until),)
        return replace(seen, tls=replace(seen.tls, chain=chain))

    made = of_result(result(tls("2027-01-01"), tls("2026-12-01")))
    assert made
    assert made.tls
    assert made.tls.ends.startswith("2026-12-01")
    assert "TLSv1" in made.tls.accepted
    assert not set(made.tls.accepted) & set(made.tls.rejected)


# -- files -----------------------------------------------------------------------------------------


def test_files_are_linted_and_nothing_is_looked_at(tmp_path: Path):
    path = tmp_path / "stunnel.conf"
    path.write_text("[pop2]\naccept = 110\nconnect = 109\n")
    policy = SealPolicy("here", "", POLICY.asked, targets=("192.0.2.7",))
    total, found = checked(Request(configs=(str(path),)), policy=policy)
    assert (total.files, total.endpoints) == (1, 0)
    assert {each.path for each in found} == {str(path)}
    assert total.failing
    with pytest.raises(BadInput, match="is not there"):
        checked(Request(configs=(str(tmp_path / "none"),)))


# -- very many -------------------------------------------------------------------------------------


def test_work_grows_with_the_endpoints_and_memory_does_not(tmp_path: Path):
    """As `bench check`, in steps and blocks: seconds depend on what else the machine does."""
    (steps, blocks), (more_steps, more_blocks) = (spent(tmp_path, each) for each in (100, 1000))
    assert more_steps <= 11 * steps
    assert more_blocks <= 1.5 * blocks


def spent(folder: Path, count: int) -> tuple[int, int]:
    """Steps of Python and of SQLite, and the most blocks of memory that were held at a time."""
    path = folder / f"{count}.sqlite3"
    fill(path, count)
    steps, blocks, found = 0, 0, 0

    def step(*event: object) -> None:
        nonlocal steps
        steps += 1

    with Store.open(str(path)) as store:
        store._connection.set_progress_handler(step, 100)
        gc.collect()
        total, before = Sum(POLICY), sys.getallocatedblocks()
        sys.setprofile(step)
        try:
            for _ in check.check(STORED, total, Recorder(None, silent), store, silent):
                found += 1
                if found % 50 == 0:
                    gc.collect()
                    blocks = max(blocks, sys.getallocatedblocks() - before)
        finally:
            sys.setprofile(None)
    # By turns one exposed, one kept, and one whose certificate cannot be read: two deviations.
    assert abs(found - count) <= 1
    assert total.endpoints == count
    return steps, blocks
