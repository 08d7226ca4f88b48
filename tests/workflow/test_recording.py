"""Results pass through the recorder unchanged, whatever becomes of the store."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.model.finding import Grade
from mailseal.model.login import Login, LoginOutcome
from mailseal.model.look import Channel
from mailseal.model.moment import seconds
from mailseal.report.result import ScanResult
from mailseal.store import Filter, LoginFilter, Store, StoreError
from mailseal.workflow import BadInput
from mailseal.workflow.recording import Recorder, recorder
from mailseal.workflow.scan import Request, Word, scan
from tests.probe import peers
from tests.report.make import lost
from tests.store.make import judged, login, look, moment, result, rows


class Full(Store):
    """A store on a disk that fills up after some results."""

    left = 1

    def record(self, *results, **more) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreError("x", "the disk is full")
        super().record(*results, **more)


def stored(path: Path) -> list[str]:
    with Store.open(str(path), make=False) as store:
        return [known.last for known in store.findings(Filter())]


RESULTS = [
    result(look("exposed", 1)),
    lost("gone.example", "no address"),
    result(look("exposed", 2)),
]


def test_results_are_recorded_and_handed_on(tmp_path: Path):
    with Store.open(str(tmp_path / "s")) as store:
        assert list(Recorder(store, pytest.fail).recorded(iter(RESULTS))) == RESULTS
    assert stored(tmp_path / "s") == [look("exposed", 2).start]


def test_a_scan_is_recorded_and_a_second_one_tells_what_was_fixed(tmp_path: Path):
    counts = []
    with peers.serving(peers.pop2) as endpoint:
        request = Request((Word(str(endpoint)),), timeout=1.0)
        for _ in range(2):
            with recorder(True, str(tmp_path / "s"), {}, pytest.fail) as recording:
                list(recording.recorded(scan(request)))
            counts.append(len(stored(tmp_path / "s")))
    with recorder(True, str(tmp_path / "s"), {}, pytest.fail) as recording:
        list(recording.recorded(scan(request)))
    assert [*counts, len(stored(tmp_path / "s"))] == [1, 1, 0]


def test_without_a_store_they_are_only_handed_on():
    assert list(Recorder(None, pytest.fail).recorded(iter(RESULTS))) == RESULTS


def test_who_stops_early_has_recorded_what_he_took_and_stops_the_source(tmp_path: Path):
    closed: list[bool] = []

    def source() -> Iterator[ScanResult]:
        try:
            yield from RESULTS
        finally:
            closed.append(True)

    with recorder(True, str(tmp_path / "s"), {}, pytest.fail) as recording:
        passing = recording.recorded(source())
        next(passing)
        passing.close()
        assert closed == [True]
    assert stored(tmp_path / "s") == [look("exposed", 1).start]


def test_a_disk_that_fills_up_ends_the_recording_and_not_the_results(tmp_path: Path):
    said: list[str] = []
    with Full.open(str(tmp_path / "s")) as store:
        recording = Recorder(store, said.append)
        assert list(recording.recorded(iter([*RESULTS, *RESULTS]))) == [*RESULTS, *RESULTS]
    assert recording.failed
    assert said == [
        "the store x: the disk is full; what is found from here on is printed, and not recorded"
    ]
    assert stored(tmp_path / "s") == [look("exposed", 1).start]


def test_a_store_that_cannot_be_opened_is_bad_input_at_once(tmp_path: Path):
    (tmp_path / "s").write_text("hello" * 1000)
    with (
        pytest.raises(BadInput, match=r"no store of mailseal.*--no-store"),
        recorder(True, str(tmp_path / "s"), {}, pytest.fail),
    ):
        pytest.fail("it was opened")
    with recorder(False, str(tmp_path / "s"), {}, pytest.fail) as recording:
        assert list(recording.recorded(RESULTS)) == RESULTS


def test_what_was_mended_is_told(tmp_path: Path):
    said: list[str] = []
    Store.open(str(tmp_path / "s")).close()
    (tmp_path / "s").chmod(0o644)
    with recorder(True, None, {"MAILSEAL_STORE": str(tmp_path / "s")}, said.append):
        pass
    assert "closed to them" in said[0]


# -- logins ----------------------------------------------------------------------------------------

NOW = seconds(moment(60))


@contextlib.contextmanager
def recording(path: Path, days: int = 90) -> Iterator[tuple[Recorder, Store, list[str]]]:
    said: list[str] = []
    with Store.open(str(path)) as store:
        yield Recorder(store, said.append, lambda: NOW, days), store, said


def test_a_login_in_cleartext_is_a_finding_with_its_times(tmp_path: Path):
    with recording(tmp_path / "s") as (taker, store, said):
        taker.take_logins([login(first=1, last=5), login("bob", 2, 9)], "mail.log")
        (known,) = store.findings(Filter(logins_since=moment(0)))
        assert known.finding.rule == "pop2-cleartext-login"
        assert known.finding.assessment.grade is Grade.OBSERVED
        assert (known.first, known.last, known.fixed) == (moment(1), moment(9), None)
        assert (known.found_from, known.users) == (("log",), 2)
        assert len(list(store.logins(LoginFilter()))) == 2
    assert said == []


def test_recorded_again_it_is_the_same(tmp_path: Path):
    with recording(tmp_path / "s") as (taker, _, _):
        taker.take_logins([login(first=1, last=5)], "mail.log")
        before = rows(tmp_path / "s")
        taker.take_logins([login(first=1, last=5)], "mail.log")
        assert rows(tmp_path / "s") == before


def test_people_stand_in_the_table_of_logins_alone(tmp_path: Path):
    with recording(tmp_path / "s") as (taker, store, _):
        taker.take_logins([login("xq7", client="198.51.100.77", software=("xq7",))], "x")
        store.forget(LoginFilter())
        (known,) = store.findings(Filter())
        assert known.finding.evidence
    held = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"xq7" not in held
    assert b"198.51.100.77" not in held


@pytest.mark.parametrize(
    "harmless",
    [
        login(channel=Channel.TLS),
        login(channel=Channel.UNKNOWN),
        login(outcome=LoginOutcome.REFUSED),
        login(client="127.0.0.1"),
        login(endpoint=None),
    ],
)
def test_other_logins_are_known_and_no_finding(tmp_path: Path, harmless: Login):
    with recording(tmp_path / "s") as (taker, store, _):
        taker.take_logins([harmless], "x")
        assert list(store.findings(Filter(fixed=True))) == []
        assert [each.login for each in store.logins(LoginFilter())] == [harmless]


def test_a_later_look_fixes_it_and_a_later_login_opens_it_again(tmp_path: Path):
    with recording(tmp_path / "s") as (taker, store, _):
        taker.take_logins([login(first=1, last=5)], "x")
        taker.take(result(look("refused", 7)))
        taker.finish()
        assert list(store.findings(Filter())) == []
        taker.take_logins([login(first=1, last=5)], "x")
        assert list(store.findings(Filter())) == []
        taker.take_logins([login(first=3, last=9)], "x")
        (known,) = store.findings(Filter())
        assert (known.first, known.fixed) == (moment(9), None)
        history = store.history(known.finding.id)
        assert [each.fixed for each in history.appearances] == [None, moment(7)]


def test_an_old_log_read_after_the_fix_opens_nothing(tmp_path: Path):
    with recording(tmp_path / "s") as (taker, store, _):
        taker.take(result(look("exposed", 1)))
        taker.take(result(look("refused", 7)))
        taker.finish()
        taker.take_logins([login(first=2, last=5)], "x")
        assert list(store.findings(Filter())) == []


def test_what_is_too_old_is_not_taken_in_and_said(tmp_path: Path):
    old = -91 * 24 * 60
    with recording(tmp_path / "s") as (taker, store, said):
        taker.take_logins([login(first=old, last=old), login("bob", first=old)], "x")
        assert [each.login.user for each in store.logins(LoginFilter())] == ["bob"]
    assert said == ["not recorded: 3 logins from more than 90 days ago"]


def test_what_is_to_come_is_of_now(tmp_path: Path):
    with recording(tmp_path / "s") as (taker, store, _):
        taker.take_logins([login(first=1, last=900)], "x")
        (known,) = store.findings(Filter())
        assert known.last == moment(60)
        assert [each.login.last for each in store.logins(LoginFilter())] == [moment(60)]


def test_whoever_opens_the_store_forgets_what_is_too_old(tmp_path: Path):
    path = str(tmp_path / "s")
    with Store.open(path) as store:
        newer = login("bob", last=60 * 24 * 365 * 30)
        store.record_logins(judged(login(), newer), "x")
    with recorder(True, path, {"MAILSEAL_KEEP_LOGINS": "30"}, pytest.fail):
        pass
    with Store.open(path) as store:
        assert [each.login.user for each in store.logins(LoginFilter())] == ["bob"]
    assert b"alice" not in (tmp_path / "s").read_bytes()
    with (
        pytest.raises(BadInput, match="write a number of days"),
        recorder(True, path, {"MAILSEAL_KEEP_LOGINS": "x"}, pytest.fail),
    ):
        pass


def test_a_full_disk_ends_the_recording_of_logins(tmp_path: Path):
    class Filled(Store):
        def record_logins(self, *seen) -> int:
            raise StoreError("x", "the disk is full")

    said: list[str] = []
    with Filled.open(str(tmp_path / "s")) as store:
        taker = Recorder(store, said.append, lambda: NOW)
        taker.take_logins([login()], "x")
        taker.take_logins([login()], "x")
    assert taker.failed
    assert len(said) == 1
    Recorder(None, pytest.fail).take_logins([login()], "x")
