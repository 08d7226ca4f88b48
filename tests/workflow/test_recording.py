"""Results pass through the recorder unchanged, whatever becomes of the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.report.result import ScanResult
from mailseal.store import Filter, Store, StoreError
from mailseal.workflow import BadInput
from mailseal.workflow.recording import Recorder, recorder
from mailseal.workflow.scan import Request, Word, scan
from tests.probe import peers
from tests.report.make import lost
from tests.store.make import look, result


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
