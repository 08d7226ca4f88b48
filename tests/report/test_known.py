"""What is known, as people and tools read it."""

import json
from dataclasses import replace
from pathlib import Path

from mailseal.model import codec
from mailseal.model.known import FindingHistory, KnownFinding, KnownFindings, KnownLogin
from mailseal.model.login import Meaning
from mailseal.model.look import Channel, Vantage
from mailseal.report import records
from mailseal.report.known import WRITERS, Run, Sum, history, line, summary
from mailseal.report.style import Style
from mailseal.store import Store
from tests.report.make import HOSTILE, hostile
from tests.report.make import result as scanned
from tests.store.make import NESSUS, judged, login, look, moment, record

GOLDEN = Path(__file__).parent / "golden"


def told(tmp_path: Path) -> FindingHistory:
    with Store.open(str(tmp_path / "store.sqlite3")) as store:
        record(store, reported=[replace(NESSUS, when=moment(1))])
        for minute, kind in ((2, "exposed"), (3, "refused"), (4, "exposed"), (5, "exposed")):
            record(store, look(kind, minute))
        seen = [
            login(last=4, software=("mutt 2.2",)),
            login("bob", 5, 6, vantage=Vantage.WIRE, host=""),
            login("carol", 6, 7, channel=Channel.TLS),
            login(None, 7, 8, channel=Channel.UNKNOWN, notes=("this log shows no TLS",)),
        ]
        store.record_logins(judged(*seen), "mail.log")
        (finding,) = store.ids("")
        return store.history(finding, moment(5))


def known(**changes) -> KnownFinding:
    return replace(
        KnownFinding(scanned().findings[0], moment(1), moment(5), None, ("remote",)), **changes
    )


def written(form: str, *findings: KnownFinding, endpoints: int = 3, live: bool = False) -> str:
    lines: list[str] = []
    writer = WRITERS[form](Run(lines.append, "0.1.0", live=live))
    total = Sum(endpoints, 1)
    for each in findings:
        total.add(each)
        writer.add(each)
    writer.end(total)
    return "\n".join(lines)


def test_a_list_and_a_history_as_text(tmp_path: Path):
    fixed = known(fixed=moment(9), users=12)
    text = written("text", known(), fixed, live=True)
    found = told(tmp_path)
    text += "\n\n" + "\n".join(history(found)) + "\n"
    assert text == (GOLDEN / "known.txt").read_text()


def test_without_a_terminal_there_is_no_header():
    assert written("text", known()).startswith(known().finding.id)
    assert written("text", endpoints=0) == (
        "nothing is known there: no endpoint was looked at or reported"
    )


def test_a_document_and_lines_read_back(tmp_path: Path):
    document = codec.loads(KnownFindings, written("json", known(), known()), lenient=False)
    assert document == KnownFindings("0.1.0", (known(), known()), 3, 1)
    assert codec.loads(KnownFindings, written("json"), lenient=False).findings == ()
    (text,) = written("ndjson", known()).splitlines()
    assert codec.loads(KnownFinding, text, lenient=False) == known()
    found = told(tmp_path)
    assert codec.loads(FindingHistory, records.line(found), lenient=False) == found
    assert json.loads(text)["type"] == "KnownFinding"


def test_the_next_command_fits_the_state(tmp_path: Path):
    found = told(tmp_path)
    reported = replace(found.known, found_from=("report",))
    fixed = replace(found.known, fixed=moment(9))
    lines = ["\n".join(history(replace(found, known=each))) for each in (reported, fixed)]
    assert "mailseal scan 192.0.2.7:109" in lines[0]
    assert "mailseal verify 192.0.2.7:109" in lines[1]


def test_hostile_text_does_not_get_through(tmp_path: Path):
    made = hostile(HOSTILE)
    found = told(tmp_path)
    nasty = known(finding=made.findings[0], found_from=(HOSTILE,))
    assert made.assessment is not None
    everything = FindingHistory(
        nasty,
        found.appearances,
        tuple(replace(each, source=HOSTILE, assessment=made.assessment) for each in found.verdicts),
        tuple(
            replace(each, source=HOSTILE, observations=made.observations) for each in found.looks
        ),
        tuple(replace(each, source=HOSTILE, reported=made.reported[0]) for each in found.reports),
    )
    for text in (line(nasty), *history(everything), records.line(everything)):
        assert text.isprintable()


def test_colour_where_it_is_wanted():
    assert "\x1b[" in line(known(), Style(True))


def test_many_logins_are_cut_off_and_those_in_cleartext_come_first(tmp_path: Path):
    found = told(tmp_path)
    (alice,) = [each for each in found.logins if each.login.user == "alice"]
    safe = [
        KnownLogin(replace(alice.login, user=f"user{number}"), Meaning.SAFE, "x")
        for number in range(60)
    ]
    text = "\n".join(history(replace(found, logins=(*safe, alice))))
    assert "alice" in text
    assert "11 more kinds of logins" in text
    assert text.count("user") < 60


def test_that_nobody_looked_at_who_logs_in_is_said_of_what_is_open(tmp_path: Path):
    found = replace(told(tmp_path), logins=())
    words = "nobody looked at who logs in"
    assert words in "\n".join(history(found))
    fixed = replace(found, known=replace(found.known, fixed=moment(9)))
    assert words not in "\n".join(history(fixed))


def test_users_without_a_place_are_told_at_the_end():
    total = Sum(0, 0, 4)
    assert total.doubtful
    assert "users in cleartext at servers whose address is not known: 4" in summary(total)
