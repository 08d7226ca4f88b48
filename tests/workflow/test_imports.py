"""`import` as a function: one result an endpoint, what a look makes of a report, nothing lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.assess import assess
from mailseal.model.finding import Assessment, Grade, Verdict
from mailseal.model.look import Endpoint, Vantage
from mailseal.report.result import Recheck, ScanResult
from mailseal.workflow import BadInput, imports
from mailseal.workflow import scan as scanning
from mailseal.workflow.imports import Request, recheck, run
from tests.imports.common import REPORTS, SAMPLES
from tests.probe import peers
from tests.probe.test_canary import free_port
from tests.test_assess import report

LOOKS = scanning.Request((), timeout=1.0)
ITEM = (
    '<ReportItem port="{port}" protocol="tcp" pluginID="15854" '
    'pluginName="POP2 Cleartext Logins Permitted"/>'
)


def nessus(folder: Path, *endpoints: Endpoint, end: str = "</Report></NessusClientData_v2>") -> str:
    """A report that finds POP2 logins in cleartext at each endpoint; the name of its file."""
    hosts = "".join(
        f'<ReportHost name="{e.address}">{ITEM.format(port=e.port)}</ReportHost>' for e in endpoints
    )
    path = folder / "made.nessus"
    path.write_text(f"<NessusClientData_v2><Report>{hosts}{end}")
    return str(path)


def results(*paths: str, **changes) -> tuple[list[ScanResult], list[str], str]:
    """The results, what was told, and the complaint at the end."""
    told: list[str] = []
    got: list[ScanResult] = []
    try:
        for result in run(Request(paths, **changes), told.append):
            got.append(result)
    except BadInput as error:
        return got, told, str(error)
    return got, told, ""


def test_reports_of_an_endpoint_become_one_result_whoever_reports():
    names = ("scan.nessus", "gvm.xml", "nmap.xml")
    got, told, fault = results(*(str(REPORTS / name) for name in names))
    assert fault == ""
    places = [result.endpoint for result in got if result.endpoint]
    assert len(places) == len(set(places)) == 10
    (pop2,) = (r for r in got if r.endpoint == Endpoint("192.0.2.7", 109))
    assert [r.source for r in pop2.reported] == ["nessus", "openvas", "nmap"]
    assert (pop2.verdict, pop2.recheck) == (Verdict.EXPOSED, None)
    assert pop2.assessment is not None
    assert pop2.assessment.grade is Grade.REPORTED
    assert [finding.rule for finding in pop2.findings] == ["pop2-cleartext-login"]
    assert [reference.rule for reference in pop2.references] == ["pop2-cleartext-login"]
    (tls,) = (r for r in got if r.endpoint == Endpoint("192.0.2.7", 995))
    assert (tls.verdict, tls.findings) == (Verdict.INCONCLUSIVE, ())
    assert "left out: 1 (marked as a false positive in the report)" in told


def test_a_finding_without_an_address_is_a_result_and_not_a_clean_one():
    got, told, _ = results(str(REPORTS / "scan.nessus"))
    (lost,) = (result for result in got if result.endpoint is None)
    assert lost.verdict is Verdict.INCONCLUSIVE
    assert "old.example" in lost.asked
    assert told == ["left out: 1 (the report gives no address)"]


def test_lists_of_sockets_take_the_host_s_addresses():
    got, told, fault = results(str(REPORTS / "ss.txt"), hosts=("192.0.2.7", "2001:DB8::7"))
    assert fault == ""
    assert {result.verdict for result in got} == {Verdict.INCONCLUSIVE}
    assert len(got) == 7
    assert "left out: 1 (listens for the host itself alone)" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"paths": ("/nonexistent/x.nessus",)}, "cannot be read: No such file"),
        ({"hosts": ("mail.example",)}, "is no address"),
        ({"verify": replace(LOOKS, authority="/nonexistent/ca.pem")}, "the CA file"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_read(changes, words: str):
    request = replace(Request((str(REPORTS / "scan.nessus"),)), **changes)
    with pytest.raises(BadInput, match=words):
        run(request, print)


def test_a_damaged_file_loses_only_what_stands_behind_the_damage(tmp_path: Path):
    broken = tmp_path / "broken.nessus"
    broken.write_bytes(SAMPLES["scan.nessus"][:2400])
    got, _, fault = results(str(broken), str(REPORTS / "gvm.xml"))
    assert [r.source for result in got for r in result.reported].count("openvas") == 3
    assert any("nessus" in r.source for result in got for r in result.reported)
    assert "broken.nessus: line" in fault
    assert "the report ends early" in fault
    assert "has been taken over" in fault


def test_many_endpoints_are_given_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(imports, "BATCH", 3)
    endpoints = [Endpoint("192.0.2.7", port) for port in (1, 2, 3, 4, 5, 6, 7, 1)]
    path = nessus(tmp_path, *endpoints, end="")
    got, _, fault = results(path)
    assert [result.endpoint for result in got] == endpoints
    assert "ends early" in fault


def test_the_same_words_of_an_endpoint_are_kept_once_and_others_up_to_a_bound(tmp_path: Path):
    one = Endpoint("192.0.2.7", 109)
    got, _, _ = results(nessus(tmp_path, *([one] * 20)))
    (result,) = got
    assert len(result.reported) == 1
    text = Path(nessus(tmp_path, *([one] * 20))).read_text()
    for number in range(20):
        text = text.replace("POP2 Cleartext Logins Permitted", f"POP2 Cleartext Login {number}", 1)
    (tmp_path / "made.nessus").write_text(text)
    ((result,), _, _) = results(str(tmp_path / "made.nessus"))
    assert len(result.reported) == imports.REPORTS


def test_looking_again_confirms_what_is_so(tmp_path: Path):
    with peers.serving(peers.pop2) as endpoint:
        ((result,), _, fault) = results(nessus(tmp_path, endpoint), verify=LOOKS)
    assert fault == ""
    assert (result.verdict, result.recheck) == (Verdict.EXPOSED, Recheck.CONFIRMED)
    assert result.assessment is not None
    assert result.assessment.grade is Grade.ACCEPTED
    assert result.observations
    assert result.reported
    assert result.assessment.conflicts == ()


def test_looking_again_says_what_is_fixed_and_shows_the_conflict(tmp_path: Path):
    endpoint = Endpoint("127.0.0.1", free_port())
    ((result,), _, _) = results(nessus(tmp_path, endpoint), verify=LOOKS)
    assert (result.verdict, result.recheck) == (Verdict.ABSENT, Recheck.FIXED)
    assert result.assessment is not None
    (conflict,) = result.assessment.conflicts
    assert "the look and the report disagree: absent by the look; nessus 15854" in conflict


def test_another_service_is_fixed_too(tmp_path: Path):
    with peers.serving(lambda connection: connection.sendall(b"SSH-2.0-x\r\n")) as endpoint:
        ((result,), _, _) = results(nessus(tmp_path, endpoint), verify=LOOKS)
    assert (result.verdict, result.recheck) == (Verdict.ABSENT, Recheck.FIXED)


def test_a_look_that_cannot_tell_leaves_the_report_as_it_is(tmp_path: Path):
    with peers.serving(lambda connection: connection.sendall(b"come again?\r\n")) as endpoint:
        ((result,), _, _) = results(nessus(tmp_path, endpoint), verify=LOOKS)
    assert (result.verdict, result.recheck) == (Verdict.EXPOSED, Recheck.NOT_CONFIRMED)
    assert result.assessment is not None
    assert result.assessment.grade is Grade.REPORTED


def test_where_no_look_is_possible_the_reason_is_kept(tmp_path: Path):
    remote = replace(LOOKS, vantage=Vantage.REMOTE)
    path = nessus(tmp_path, Endpoint("127.0.0.1", 109))
    ((result,), _, _) = results(path, verify=remote)
    assert (result.verdict, result.recheck) == (Verdict.EXPOSED, Recheck.NOT_CONFIRMED)
    assert result.assessment is not None
    assert "must be taken from another host" in result.assessment.reasons[-1]


def test_of_what_only_listens_the_look_decides_and_nothing_is_confirmed(tmp_path: Path):
    with peers.serving(peers.pop2) as endpoint:
        path = tmp_path / "nmap.xml"
        path.write_text(
            '<nmaprun><host><address addr="127.0.0.1"/><ports><port protocol="tcp" '
            f'portid="{endpoint.port}"><state state="open"/></port></ports></host></nmaprun>'
        )
        ((result,), _, _) = results(str(path), ports=(endpoint.port,), verify=LOOKS)
    assert (result.verdict, result.recheck) == (Verdict.EXPOSED, None)


def test_the_site_is_the_request_s(tmp_path: Path):
    path = nessus(tmp_path, Endpoint("127.0.0.1", free_port()))
    ((result,), _, _) = results(path, site="hq", verify=LOOKS)
    assert result.endpoint is not None
    assert result.endpoint.site == "hq"


@pytest.mark.parametrize(
    ("verdict", "grade", "vantage", "word"),
    [
        (Verdict.EXPOSED, Grade.OFFERED, Vantage.REMOTE, Recheck.CONFIRMED),
        (Verdict.EXPOSED, Grade.ACCEPTED, Vantage.SELF, Recheck.CONFIRMED),
        (Verdict.EXPOSED, Grade.REPORTED, Vantage.REMOTE, Recheck.NOT_CONFIRMED),
        (Verdict.REFUSED, None, Vantage.REMOTE, Recheck.FIXED),
        (Verdict.REFUSED, None, Vantage.SELF, Recheck.NOT_CONFIRMED),
        (Verdict.REFUSED, None, Vantage.VETH, Recheck.NOT_CONFIRMED),
        (Verdict.ABSENT, None, Vantage.SELF, Recheck.FIXED),
    ],
)
def test_a_refusal_counts_from_another_host_alone(
    verdict: Verdict, grade: Grade | None, vantage: Vantage, word: Recheck
):
    judged: Assessment = assess([], [report()])
    assert recheck(replace(judged, verdict=verdict, grade=grade, vantages=(vantage,))) is word
