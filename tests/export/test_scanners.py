"""What is exported for scanners and monitors: as their own programs take it, whatever a plan holds.

`oscap` and `ruby` are Debian's; where one is missing its tests are skipped and say so. Nagios and
Icinga read their files in tests/lab/test_scanners.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.export import FLEETS, CannotExport, File, Source, checks, inspec, nagios, openscap
from mailseal.export.checks import Written
from mailseal.model import ops
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.plan import Claim, ClaimKind, Plan
from mailseal.workflow.export import kit
from tests.export.make import STARTERS, plan, source
from tests.project.tree import ROOT

NAMES = {"c": "http://checklists.nist.gov/xccdf/1.2"}
FORMS = ("openscap", "inspec", "nagios")
HOSTILE = "]]><x a=\"'&${id}`id`$(id)#{id}\\;!\u202e\x00\x1b[2J\n"
PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

needs_oscap = pytest.mark.skipif(shutil.which("oscap") is None, reason="no oscap here")
needs_ruby = pytest.mark.skipif(shutil.which("ruby") is None, reason="no ruby here")


def of(made: Plan | None = None, authority: bytes = b"", /, **changes: object) -> Source:
    return replace(source(made, authority, **changes), kit=kit())


def hostile(words: str = HOSTILE) -> Plan:
    """A plan with the words wherever a plan has a text of somebody's."""
    made = plan()
    claims = tuple(
        replace(claim, expected=dict.fromkeys(claim.expected, words)) for claim in made.claims
    )
    written = ops.WriteFile("/etc/" + words, b"x", words, words, 0o640)
    return replace(
        made,
        host=words,
        made=words,
        strategy=words,
        stage=words,
        protocol=words,
        gap=words,
        claims=claims,
        ops=(*made.ops, written),
    )


def laid(files: tuple[File, ...], folder: Path) -> Path:
    for each in files:
        path = folder / each.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.content)
        path.chmod(each.mode)
    return folder


def ran(*words: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- what all have in common -----------------------------------------------------------------------


def test_every_kind_of_claim_of_a_plan_is_a_check() -> None:
    sources = (ROOT / "src/mailseal/plan").glob("*.py")
    promised = {
        word for path in sources for word in re.findall(r"ClaimKind\.(\w+)", path.read_text())
    }
    assert {kind.name for kind in checks._KINDS} == promised
    script = kit()[checks.LOOK].decode()
    for kind in checks._KINDS.values():
        assert f"\n    {kind.asked.value}) " in script


def test_what_stage_offer_leaves_open_is_checked_and_fails() -> None:
    found = checks.checks([of(plan(stage="offer"))])
    kinds = [each.values["kind"] for each in found if each.values["port"] == "109"]
    assert set(kinds) == {"cleartext-refused"}


def test_a_claim_that_two_plans_make_is_one_check() -> None:
    one = checks.checks([of()])
    assert checks.checks([of(), of()]) == one
    assert len({each.id for each in one}) == len(one)


def test_files_are_checked_as_they_stay() -> None:
    made = plan()
    found = checks.written([of(made)])
    assert {each.path for each in found} == {
        op.path for op in made.ops if isinstance(op, ops.WriteFile)
    }
    assert all(isinstance(each, Written) and len(each.sha256) == 64 for each in found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("starter", STARTERS)
@pytest.mark.parametrize("strategy", ["wrap", "retire"])
def test_every_plan_has_each_form(form: str, starter: str, strategy: str) -> None:
    files = FLEETS[form]([of(plan(starter, strategy))])
    assert len({each.name for each in files}) == len(files)
    assert all(each.mode in (0o644, 0o755) for each in files)


@pytest.mark.parametrize("form", FORMS)
def test_a_plan_without_claims_is_no_check(form: str) -> None:
    with pytest.raises(CannotExport, match="claims nothing"):
        FLEETS[form]([of(claims=())])


def test_a_name_of_a_value_is_no_command() -> None:
    made = plan()
    owned = {"x=1; touch owned; y": "z", "kind": "closed", "address": "192.0.2.99", "name": "a"}
    claims = (replace(made.claims[0], expected=owned),)
    (found,) = checks.checks([of(claims=claims)])
    assert found.values == {
        "protocol": "pop2",
        "name": "a",
        "kind": "cleartext-refused",
        "address": "192.0.2.10",
        "port": "109",
    }


@pytest.mark.parametrize("starter", STARTERS)
@pytest.mark.parametrize("stage", ["offer", "enforce"])
def test_all_that_a_planner_expects_is_told(starter: str, stage: str) -> None:
    made = plan(starter, stage=stage)
    *claims, beside = made.claims
    assert (beside.kind, beside.expected["listening"]) == (ClaimKind.NEIGHBOURS_KEPT, "")
    for claim, check in zip(claims, checks.checks([of(made)]), strict=True):
        assert claim.expected.items() <= check.values.items()


@pytest.mark.parametrize("form", FORMS)
def test_two_machines_of_one_name_are_refused(form: str) -> None:
    with pytest.raises(CannotExport, match="two machines are called mail"):
        FLEETS[form]([of(), of(machine="f" * 32)])


@pytest.mark.parametrize("form", ["openscap", "inspec"])
def test_plans_of_several_hosts_are_no_one_benchmark(form: str) -> None:
    with pytest.raises(CannotExport, match="several hosts"):
        FLEETS[form]([of(), of(host="other")])


# -- OpenSCAP --------------------------------------------------------------------------------------


def check_valid(folder: Path) -> None:
    for words in (("xccdf", "validate"), ("xccdf", "validate", "--schematron")):
        ran("oscap", *words, openscap.BENCHMARK, cwd=folder)
    if (folder / openscap.DEFINITIONS).exists():
        for words in (("oval", "validate"), ("oval", "validate", "--schematron")):
            ran("oscap", *words, openscap.DEFINITIONS, cwd=folder)


@needs_oscap
@pytest.mark.parametrize(
    "made",
    [
        plan(),
        plan("systemd"),
        plan(stage="offer"),
        plan(strategy="retire"),
        replace(hostile(), made="2026-01-01T00:00:00Z"),
    ],
    ids=["inetd", "systemd", "offer", "retire", "hostile"],
)
def test_oscap_calls_it_valid(made: Plan, tmp_path: Path) -> None:
    check_valid(laid(openscap.export([of(made, PEM)]), tmp_path))


@given(st.text(st.one_of(st.sampled_from(HOSTILE), st.characters()), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_text_of_a_plan_is_text_in_xml(words: str) -> None:
    made = replace(hostile(words), made="2026-01-01T00:00:00Z")
    files = {each.name: each.content for each in openscap.export([of(made)])}
    calm = replace(hostile("x"), made="2026-01-01T00:00:00Z")
    for name, content in {e.name: e.content for e in openscap.export([of(calm)])}.items():
        if name.endswith(".xml"):
            # The same elements, whatever the words are.
            shape, other = ET.fromstring(files[name]), ET.fromstring(content)
            tags = [each.tag for each in shape.iter() if not each.tag.endswith("}Value")]
            assert set(tags) == {e.tag for e in other.iter() if not e.tag.endswith("}Value")}
            assert files[name].isascii()


def test_what_says_not_when_it_was_made_is_refused() -> None:
    with pytest.raises(CannotExport, match="when it was made"):
        openscap.export([of(made="yesterday")])


def test_profile_network_has_what_another_host_can_tell() -> None:
    made = plan()
    root = ET.fromstring(openscap.export([of(made)])[0].content)
    chosen = {
        profile.attrib["id"].rpartition("_")[2]: [
            each.attrib["idref"]
            for each in profile.findall("c:select", NAMES)
            if each.attrib["selected"] == "true"
        ]
        for profile in root.findall("c:Profile", NAMES)
    }
    assert len(chosen["network"]) == sum(c.vantage is Vantage.REMOTE for c in made.claims)
    assert len(chosen["host"]) == len(root.findall("c:Rule", NAMES))


def results(folder: Path) -> dict[str, str]:
    """What oscap makes of it here, by the rule's name."""
    done = subprocess.run(
        ["oscap", "xccdf", "eval", "--results", "r.xml", openscap.BENCHMARK],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode in (0, 2), done.stdout + done.stderr
    found = {}
    for each in ET.parse(folder / "r.xml").getroot().iter("{%s}rule-result" % NAMES["c"]):
        name = each.attrib["idref"].removeprefix("xccdf_mailseal_rule_")
        found[name] = each.findtext("c:result", "", NAMES)
    return found


@needs_oscap
def test_oscap_finds_what_is_so_and_what_is_not(tmp_path: Path) -> None:
    there = tmp_path / "there.conf"
    there.write_bytes(b"as planned\n")
    there.chmod(0o640)
    user = "root"

    def written(path: Path, content: bytes, mode: int) -> ops.WriteFile:
        return ops.WriteFile(str(path), content, user, user, mode)

    where = Endpoint("127.0.0.1", 1)
    claims = (
        Claim(ClaimKind.CLOSED, where, Vantage.REMOTE, {}),
        Claim(ClaimKind.SERVICE_IN_TLS, where, Vantage.REMOTE, {"name": HOSTILE}),
        Claim(ClaimKind.BACKEND_GUARDED, where, Vantage.SELF, {"path": "/none", "group": "x"}),
    )
    files = (
        written(there, b"as planned\n", 0o640),
        written(there, b"as planned\n", 0o600),
        written(there, b"another\n", 0o640),
        written(tmp_path / "gone", b"", 0o640),
    )
    exported = openscap.export([of(claims=claims, ops=files, protocol="pop2")])
    found = results(laid(exported, tmp_path / "scap"))
    told = [found[each.id] for each in checks.checks([of(claims=claims, protocol="pop2")])]
    assert told == ["pass", "fail", "fail"]
    assert [found[f"file-{number}"] for number in (1, 2, 3, 4)] == ["pass", "fail", "fail", "fail"]


# -- InSpec ----------------------------------------------------------------------------------------


def profile(made: Plan, folder: Path) -> Path:
    return laid(inspec.export([of(made)]), folder)


def test_the_profile_has_what_inspec_asks_of_one(tmp_path: Path) -> None:
    folder = profile(hostile(), tmp_path)
    told = json.loads((folder / "inspec.yml").read_text())
    assert re.fullmatch(r"[a-z0-9-]+", told["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["version"])
    assert {"title", "summary", "license", "supports"} <= told.keys()
    assert (folder / "controls" / "mailseal.rb").read_bytes() == kit()["inspec.rb"]
    for claim in json.loads((folder / "files" / "claims.json").read_text()):
        assert re.fullmatch(r"[A-Za-z0-9.-]+", claim["id"])
        assert 0 < claim["impact"] <= 1
        assert all(isinstance(value, str) for value in claim["values"].values())


@needs_ruby
def test_ruby_reads_the_controls(tmp_path: Path) -> None:
    folder = profile(plan(), tmp_path)
    assert "Syntax OK" in ran("ruby", "-wc", "controls/mailseal.rb", cwd=folder)


# What InSpec gives to a control file, as far as this one uses it (docs.chef.io/inspec/profiles).
STAND_IN = r"""
require 'json'
require 'open3'
Profile = Struct.new(:folder) { def file(name) = File.read(File.join(folder, 'files', name)) }
Holder = Struct.new(:profile)
Said = Struct.new(:stdout)
def inspec = Holder.new(Profile.new(ARGV[0]))
def input(name, value:, description:) = ENV.fetch("INPUT_#{name}", value)
def bash(script) = Said.new(Open3.capture2('bash', '-c', script).first)
%i[title desc impact ref].each { |name| define_method(name) { |*words, **more| words.fetch(0) } }
def tag(cwe:) = cwe
def describe(said) = $told << said
def control(id) = (@id = id; yield)
$told = []
load File.join(ARGV[0], 'controls', 'mailseal.rb')
puts JSON.generate($told)
"""


def stood_in(folder: Path, **inputs: str) -> list[str]:
    """What the controls' looks say where a stand-in for InSpec runs them."""
    (folder / "stand_in.rb").write_text(STAND_IN)
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["ruby", "stand_in.rb", str(folder)],
        cwd=folder,
        env={**env, **{"INPUT_" + key: value for key, value in inputs.items()}},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told: list[str] = json.loads(done.stdout)
    return told


@needs_ruby
def test_the_controls_look_and_no_word_of_a_claim_is_run(tmp_path: Path) -> None:
    where = Endpoint("127.0.0.1", 1)
    made = replace(
        plan(),
        claims=(
            Claim(ClaimKind.CLOSED, where, Vantage.REMOTE, {"name": "$(touch owned)'\"`"}),
            Claim(ClaimKind.BACKEND_GUARDED, where, Vantage.SELF, {"path": HOSTILE[:-14]}),
        ),
    )
    folder = profile(made, tmp_path)
    first, second = stood_in(folder)
    assert first == "pass: no connection (closed)"
    assert second.startswith("fail: ")
    assert stood_in(folder, vantage="network") == [first]
    assert not (folder / "owned").exists()


# -- Nagios and Icinga -----------------------------------------------------------------------------


def objects(made: Plan, authority: bytes = PEM) -> dict[str, str]:
    return {each.name: each.content.decode() for each in nagios.export([of(made, authority)])}


def test_both_languages_look_at_every_endpoint_that_others_reach() -> None:
    files = objects(plan())
    for name in ("mailseal.cfg", "mailseal.conf"):
        assert "192.0.2.10:109" in files[name]
        assert "[2001:db8:1::10]:109" in files[name]
        assert "127.0.0.1" not in files[name]
        assert "/etc/mailseal/monitoring/ca.crt" in files[name]
    assert files["mailseal.cfg"].count("define service") == 2
    assert files["mailseal.conf"].count("object Service") == 2
    assert files["mailseal-hosts.cfg"].count("define host") == 1


def test_a_certificate_that_nothing_verifies_alarms_nobody() -> None:
    assert "medium" in objects(plan())["mailseal.cfg"]
    assert "medium" not in objects(plan(), b"")["mailseal.cfg"]


def test_a_service_must_answer_where_the_plan_does_not_retire_it() -> None:
    sealed = objects(plan())
    assert sealed["mailseal.cfg"].count("--must-answer ") == 2
    assert sealed["mailseal.conf"].count("vars.mailseal_must_answer = true") == 2
    closed = tuple(replace(each, kind=ClaimKind.CLOSED) for each in plan().claims)
    retired = objects(replace(plan(), claims=closed))
    assert "--must-answer" not in retired["mailseal.cfg"]
    assert "vars.mailseal_must_answer" not in retired["mailseal.conf"]


def test_two_plans_that_ask_for_different_things_are_refused() -> None:
    made = plan()
    other = tuple(replace(each, expected={"name": "other.example"}) for each in made.claims)
    with pytest.raises(CannotExport, match="different things of "):
        nagios.export([of(made), of(claims=other)])


Change = Callable[[Plan], Plan]


def test_a_monitor_asks_once_where_some_networks_are_still_served() -> None:
    made = plan()
    where = next(each.endpoint for each in made.claims if each.vantage is Vantage.REMOTE)
    inside = {"networks": "10.1.2.0/24"}
    served = Claim(ClaimKind.CLEARTEXT_SERVED, where, Vantage.REMOTE, inside)
    assert nagios.export([of(made)]) == nagios.export([of(claims=(*made.claims, served))])
    assert nagios.export([of(claims=(served,))])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda made: replace(made, host="x;y"), "name of a host"),
        (lambda made: replace(made, host="$USER1$"), "name of a host"),
        (lambda made: replace(made, host="x\n}"), "name of a host"),
        (
            lambda made: replace(
                made, claims=(replace(made.claims[0], expected={"name": "a!b;$(id)"}),)
            ),
            "name of a certificate",
        ),
        (
            lambda made: replace(
                made, claims=(replace(made.claims[0], endpoint=Endpoint("fe80::1%$(id)", 109)),)
            ),
            "another host on every network",
        ),
    ],
    ids=["comment", "macro", "line", "name", "zone"],
)
def test_what_a_monitor_would_read_for_itself_is_refused(change: Change, says: str) -> None:
    with pytest.raises(CannotExport, match=says):
        nagios.export([of(change(plan()))])


def test_nothing_hostile_is_left_of_a_hostile_plan() -> None:
    made = replace(hostile(), host="mail", claims=plan().claims)
    for content in objects(made).values():
        assert "x a=" not in content
