"""`mailseal check` and `mailseal policy` as they are used: real processes, files and servers."""

import json
import os
import re
import shlex
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mailseal.cli.exits import Exit
from mailseal.model import codec
from mailseal.model.look import Endpoint
from mailseal.model.policy import Deviation
from mailseal.policy.seal import LIMIT
from mailseal.store import Store
from tests.cli.program import PROGRAM, environment, mailseal
from tests.probe import peers
from tests.project.tree import ROOT
from tests.report.test_junit import schema
from tests.report.test_sarif import validator
from tests.store.make import look, record

GOOD = (ROOT / "tests/lint/stunnel-debug/good.stunnel.conf").read_bytes()
LOUD = (ROOT / "tests/lint/stunnel-old-tls-version/bad.stunnel.conf").read_bytes()
PAGE = ROOT / "docs/howto/keep-a-policy.md"
DISABLED = b"- POP2 server disabled on this system\r\n"
EXCEPTION = """
[[exception]]
targets = ["127.0.0.0/8"]
rules = ["pop2-cleartext-login"]
until = %s
owner = "mail team"
reason = "the archive's clients"
"""


def disabled(connection) -> None:
    connection.sendall(DISABLED)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder with a policy, and a store of its own."""
    before = os.environ["MAILSEAL_STORE"]
    os.environ["MAILSEAL_STORE"] = str(tmp_path / "store.sqlite3")
    (tmp_path / "mailseal.toml").write_text("")
    try:
        yield tmp_path
    finally:
        os.environ["MAILSEAL_STORE"] = before


def check(site: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return mailseal("check", "--policy", str(site / "mailseal.toml"), *words)


def known(site: Path, kind: str, minute: float = 1) -> None:
    with Store.open(str(site / "store.sqlite3")) as store:
        record(store, look(kind, minute))


# -- looks -----------------------------------------------------------------------------------------


def test_drift_is_new_then_unchanged_then_fixed(site: Path):
    with peers.serving(disabled) as endpoint:
        assert check(site, str(endpoint)).returncode == Exit.CLEAN
    for expected in (b"new ", b"unchanged "):
        with peers.serving(peers.pop2, port=endpoint.port):
            run = check(site, str(endpoint))
        assert (run.returncode, run.stderr) == (Exit.EXPOSED, b"")
        assert run.stdout.startswith(expected)
    with peers.serving(disabled, port=endpoint.port):
        run = check(site, str(endpoint))
    assert (run.returncode, run.stdout[:6]) == (Exit.CLEAN, b"fixed ")
    assert run.stdout.endswith(b"1 endpoint checked: 1 fixed\n")


@pytest.mark.parametrize(
    ("until", "state", "code"),
    [("2999-01-01", b"exempt", Exit.CLEAN), ("2026-01-01", b"expired", Exit.EXPOSED)],
)
def test_an_exception_holds_until_its_end(site: Path, until: str, state: bytes, code: Exit):
    (site / "mailseal.toml").write_text(EXCEPTION % until)
    with peers.serving(peers.pop2) as endpoint:
        run = check(site, "--no-store", str(endpoint))
    assert (run.returncode, run.stdout.split()[0]) == (code, state)
    assert f"until {until}: the archive's clients (mail team)".encode() in run.stdout
    assert not (site / "store.sqlite3").exists()


def test_the_targets_of_the_policy_are_looked_at(site: Path):
    with peers.serving(disabled) as endpoint:
        (site / "mailseal.toml").write_text(f'targets = ["{endpoint}", "no.invalid:109"]')
        run = check(site)
    assert run.returncode == Exit.INCONCLUSIVE
    assert run.stdout.splitlines()[0].startswith(b"undecided  info      no.invalid")


def test_a_baseline_is_kept_in_a_file(site: Path):
    with peers.serving(peers.pop2) as endpoint:
        first = check(site, "--no-store", "--format", "ndjson", str(endpoint))
        (site / "baseline.ndjson").write_bytes(first.stdout)
        words = ("--no-store", "--baseline", str(site / "baseline.ndjson"), "--format", "ndjson")
        again = check(site, *words, str(endpoint))
    assert [each["state"] for each in map(json.loads, first.stdout.splitlines())] == ["new"]
    assert again.returncode == Exit.EXPOSED
    made = codec.loads(Deviation, again.stdout, lenient=False)
    assert made.state.value == "unchanged"


# -- what is known ---------------------------------------------------------------------------------


def test_old_knowledge_is_not_clean(site: Path):
    known(site, "refused")
    run = check(site, "--stored")
    assert run.returncode == Exit.INCONCLUSIVE
    assert b"more than 7 days ago" in run.stdout
    (site / "mailseal.toml").write_text("look-days = 3650")
    assert check(site, "--stored").returncode == Exit.CLEAN


def test_where_nothing_is_known_that_is_said(site: Path):
    run = check(site, "--stored")
    assert run.returncode == Exit.USAGE
    assert b"there is none yet: `mailseal scan` makes it" in run.stderr
    with Store.open(str(site / "store.sqlite3")):
        pass
    assert check(site, "--stored").returncode == Exit.INCONCLUSIVE


def test_every_form_is_whole(site: Path):
    known(site, "exposed")
    log = json.loads(check(site, "--stored", "--format", "sarif").stdout)
    assert [error.message for error in validator().iter_errors(log)] == []
    schema().validate(ElementTree.fromstring(check(site, "--stored", "--format", "junit").stdout))
    assert json.loads(check(site, "--stored", "--format", "json").stdout)["type"] == "Check"
    out = site / "comment.md"
    run = check(site, "--stored", "--format", "markdown", "-o", str(out))
    assert (run.returncode, run.stdout) == (Exit.EXPOSED, b"")
    assert out.read_text().startswith("### mailseal: the policy is broken\n")


@pytest.mark.parametrize(
    ("kind", "code", "says"),
    [("exposed", 2, b"CRITICAL"), ("silent", 3, b"UNKNOWN"), ("refused", 0, b"OK")],
)
def test_monitoring_has_codes_of_its_own(site: Path, kind: str, code: int, says: bytes):
    (site / "mailseal.toml").write_text("look-days = 3650")
    known(site, kind)
    run = check(site, "--stored", "--format", "nagios")
    assert (run.returncode, run.stdout.split()[:2]) == (code, [b"MAILSEAL", says])
    assert run.stdout.count(b"\n") == 1


@pytest.mark.parametrize("words", [("--no-store",), ("-o", "/nowhere/out"), ("--since", "soon")])
def test_monitoring_gets_a_line_whatever_is_wrong(site: Path, words: tuple[str, ...]):
    known(site, "exposed")
    run = check(site, "--stored", "--format", "nagios", *words)
    assert (run.returncode, run.stderr) == (3, b"")
    assert run.stdout.startswith(b"MAILSEAL UNKNOWN - ")


def test_monitoring_gets_a_line_for_a_bad_policy_too(site: Path):
    (site / "mailseal.toml").write_text("nonsense = 1 # |")
    run = check(site, "--stored", "--format", "nagios")
    assert (run.returncode, run.stderr) == (3, b"")
    assert run.stdout.startswith(b"MAILSEAL UNKNOWN - the policy ")
    assert b"|" not in run.stdout


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [(GOOD, Exit.CLEAN), (LOUD, Exit.EXPOSED), (GOOD + b"include = /x\n", Exit.INCONCLUSIVE)],
    ids=["good", "faulty", "not understood"],
)
def test_configurations_are_checked(site: Path, data: bytes, code: Exit):
    (site / "stunnel.conf").write_bytes(data)
    run = check(site, "--config", str(site / "stunnel.conf"))
    assert run.returncode == code, run.stdout
    assert not (site / "store.sqlite3").exists()


def test_configurations_that_are_not_utf8_are_checked(site: Path):
    (site / "stunnel.conf").write_bytes(b"# gr\xfc\xdfe\n" + LOUD + b"# \x1b[31m\xff\n")
    run = check(site, "--config", str(site))
    assert run.returncode == Exit.EXPOSED
    assert b"\x1b" not in run.stdout
    assert run.stdout.endswith(b"1 file checked: 1 new\n")


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"targets = [", b"mailseal.toml: "),
        (b"tragets = []", b"unknown key 'tragets'"),
        (b'[[exception]]\ntargets = ["a"]\nrules = ["tls-version"]', b"exception 1, until is miss"),
        (EXCEPTION.replace("reason", "# ").encode() % b"2027-01-01", b"exception 1, reason is mis"),
        (b"patch-days-security = 9\npatch-days-ordinary = 1", b"would be due"),
        (b"# gr\xfc\xdfe", b"octet 4 is not UTF-8: save it as UTF-8"),
        (b"#" * (LIMIT + 1), b"longer than"),
        (b"\x00", b"mailseal.toml: "),
    ],
    ids=["toml", "key", "end", "reason", "contradiction", "utf-8", "long", "nul"],
)
def test_a_policy_that_cannot_be_used_is_refused_by_what_is_wrong(
    site: Path, text: bytes, says: bytes
):
    (site / "mailseal.toml").write_bytes(text)
    run = check(site, "--stored")
    assert (run.returncode, run.stdout) == (Exit.USAGE, b"")
    assert says in run.stderr
    assert run.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--policy", "/nowhere.toml"),
            b"there is no policy /nowhere.toml: `mailseal policy init`",
        ),
        ((), b"name a target"),
        (("--stored", "--no-store"), b"leave --no-store out"),
        (("--stored", "--baseline", "/nowhere"), b"/nowhere cannot be read"),
        (("--config", "/nowhere"), b"/nowhere is not there"),
        (("--ports", "0", "127.0.0.1"), b"ports: "),
        (("--ca", "/dev/null", "127.0.0.1"), b"holds no certificate"),
        (("a b",), b"is no host name"),
        (("--since", "soon", "127.0.0.1"), b"is no time"),
    ],
)
def test_what_cannot_be_used_is_usage(site: Path, words: tuple[str, ...], says: bytes):
    known(site, "exposed")
    run = check(site, *words)
    assert run.returncode == Exit.USAGE
    assert says in run.stderr


@pytest.mark.parametrize("to", ["-o", "stdout"])
def test_a_full_disk_is_said(site: Path, to: str):
    known(site, "exposed")
    words = ("check", "--policy", str(site / "mailseal.toml"), "--stored")
    if to == "-o":
        run = mailseal(*words, "-o", "/dev/full", "--overwrite")
    else:
        with open("/dev/full", "wb") as full:
            run = subprocess.run(
                [*PROGRAM, *words],
                stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60,
            )  # fmt: skip
    assert run.returncode == Exit.USAGE
    assert b"the results cannot be written: No space left on device" in run.stderr


def test_a_reader_who_leaves_is_no_fault(site: Path):
    with Store.open(str(site / "store.sqlite3")) as store:
        for last in range(1, 200):
            record(store, look("exposed", 1, endpoint=Endpoint(f"198.51.100.{last}", 109)))
    line = '"$@" | head -n 1; exit ${PIPESTATUS[0]}'
    words = ("check", "--policy", str(site / "mailseal.toml"), "--stored")
    run = subprocess.run(
        ["bash", "-c", line, "bash", *PROGRAM, *words],
        capture_output=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (Exit.EXPOSED, b"")


def test_a_damaged_store_is_said(site: Path):
    known(site, "exposed")
    with open(site / "store.sqlite3", "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40_000)
    run = check(site, "--stored")
    assert run.returncode == Exit.USAGE
    assert b"store.sqlite3" in run.stderr


# -- a new policy ----------------------------------------------------------------------------------


def test_a_new_policy_is_one_that_check_takes(site: Path):
    known(site, "exposed")
    path = site / "new.toml"
    run = mailseal("policy", "init", "-o", str(path))
    assert (run.returncode, run.stdout) == (Exit.CLEAN, b"")
    assert mailseal("check", "--policy", str(path), "--stored").returncode == Exit.EXPOSED
    text = path.read_text()
    run = mailseal("policy", "init", "-o", str(path))
    assert (run.returncode, path.read_text()) == (Exit.USAGE, text)
    assert b"give --overwrite" in run.stderr


def test_a_new_policy_has_the_ports_where_something_was_found(site: Path):
    path = site / "new.toml"
    with peers.serving(peers.pop2) as endpoint:
        assert mailseal("scan", str(endpoint)).returncode == Exit.EXPOSED
        assert mailseal("policy", "init", "-o", str(path)).returncode == Exit.CLEAN
        words = ("--policy", str(path), "--timeout", "2")
        assert mailseal("check", *words, "--no-store").returncode == Exit.EXPOSED
    path.write_text('targets = ["127.0.0.1"]\nservices = ["%s"]\n' % endpoint)
    run = mailseal("check", *words, "--no-store")
    assert (run.returncode, b"service-gone" in run.stdout) == (Exit.EXPOSED, True)
    state = ("--state", str(site / "watch.json"), "--no-store", "--vantage", "self")
    run = mailseal("watch", "--once", *words, *state)
    assert (run.returncode, b"service-gone" in run.stdout) == (Exit.EXPOSED, True), run.stderr


@pytest.mark.parametrize("words", [("findings", "--assets"), ("report",), ("local",)])
def test_when_updates_are_due_the_policy_says(site: Path, words: tuple[str, ...]):
    known(site, "exposed")
    path = str(site / "mailseal.toml")
    assert mailseal(*words, "--policy", path).returncode in (Exit.CLEAN, Exit.INCONCLUSIVE)
    run = mailseal(*words, "--policy", path + ".none")
    assert run.returncode == Exit.USAGE
    assert b"there is no policy" in run.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk is mounted, which needs root")
def test_a_full_disk_leaves_no_half_policy(site: Path):
    known(site, "exposed")
    disk = site / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=16k x "$0" && head -c 16k /dev/zero >"$0/full"; '
        '"$@"; code=$?; ls -A "$0"; exit $code'
    )
    run = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", script, str(disk)),
            *(*PROGRAM, "policy", "init", "-o", str(disk / "mailseal.toml")),
        ],
        capture_output=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (Exit.USAGE, b"full\n")
    assert b"cannot be written: No space left on device" in run.stderr


# -- the page --------------------------------------------------------------------------------------


def in_pipelines(text: str) -> list[str]:
    """Our commands in the page's pipelines."""
    jobs = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    steps = [step for job in jobs for step in (*job.get("steps", ()), *job.values())]
    lines: list[str] = [
        step.get("run") or step.get("script") or "" for step in steps if isinstance(step, dict)
    ]
    return [line.removeprefix("mailseal ") for line in lines if line.startswith("mailseal ")]


def test_the_commands_of_the_page(site: Path, monkeypatch: pytest.MonkeyPatch):
    """In a folder of our own; what is known is a server here that is sealed meanwhile."""
    monkeypatch.chdir(site)
    (site / "mailseal.toml").unlink()
    (site / "roles").mkdir()
    (site / "roles" / "stunnel.conf").write_bytes(GOOD)
    text = PAGE.read_text()
    written = ("baseline.ndjson", "check.xml", "check.sarif", "comment.md", "lint.sarif")
    with peers.serving(peers.pop2) as endpoint:
        assert mailseal("scan", str(endpoint)).returncode == Exit.EXPOSED
    with peers.serving(disabled, port=endpoint.port):
        codes = []
        typed = re.findall(r"^\$ mailseal (.*)$", text, re.MULTILINE)
        for line in typed + in_pipelines(text):
            if line == in_pipelines(text)[0]:  # a checkout of its own
                for name in written:
                    (site / name).unlink()
            codes.append(mailseal(*shlex.split(line)).returncode)
            if line == "policy init":
                policy = site / "mailseal.toml"
                named = policy.read_text().replace('"127.0.0.1"', f'"{endpoint}"')
                policy.write_text(named + text.partition("```toml")[2].partition("```")[0])
    assert codes == [Exit.CLEAN] * len(codes)
    assert len(codes) == 12
    assert [(site / name).exists() for name in ("check.xml", "comment.md")] == [True] * 2
