"""Plans on the command line: the text for people, the file for `apply`, and what is refused."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.model.look import Endpoint
from mailseal.model.moment import rfc3339
from mailseal.store import Store
from tests.cli.program import mailseal
from tests.plan import hosts
from tests.store.make import judged, login

GOLDEN = Path(__file__).parent / "golden"
CUT_OFF = "EVERY EXISTING CLEARTEXT CLIENT OF 192.0.2.10:109, [2001:db8:1::10]:109 STOPS WORKING."


@pytest.fixture
def facts(tmp_path: Path) -> str:
    """The facts of a mail host, in a file."""
    path = tmp_path / "facts.json"
    path.write_text(codec.dumps(gather(hosts.inetd(stunnel=False))))
    return str(path)


@pytest.mark.parametrize("wish", ["enforce", "offer", "retire"])
def test_the_text_of_a_plan(facts: str, wish: str):
    """To renew one: run the command and read the difference."""
    words = ["--strategy", "retire"] if wish == "retire" else ["--stage", wish]
    done = mailseal("plan", "--facts", facts, "--name", "mail.example", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == (GOLDEN / f"plan-{wish}.txt").read_text()


def test_its_first_lines_say_who_is_cut_off(facts: str):
    lines = mailseal("plan", "--facts", facts).stdout.decode().splitlines()
    assert lines[:2] == ["Plan for mail: wrap, stage enforce, POP2 on port 109", CUT_OFF]


def test_the_file(facts: str, tmp_path: Path):
    path = tmp_path / "plan.json"
    done = mailseal("plan", "--facts", facts, "-o", str(path))
    assert done.returncode == 0
    assert b"next, on mail: sudo mailseal apply %s" % str(path).encode() in done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    again = mailseal("plan", "--facts", facts, "-o", str(path))
    assert again.returncode == 2
    assert b"choose another name, or give --overwrite" in again.stderr
    assert path.read_bytes() == before
    assert mailseal("plan", "--facts", facts, "-o", str(path), "--overwrite").returncode == 0

    path.write_bytes(before.replace(b"825", b"826"))
    edited = mailseal("apply", str(path), "--yes")
    assert edited.returncode == 6
    assert b"was edited after it was made" in edited.stderr
    path.write_bytes(before)
    unasked = mailseal("apply", str(path))
    assert unasked.returncode == 6
    assert CUT_OFF.encode() in unasked.stdout
    assert b"give --yes to say yes" in unasked.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("plan", "--facts", "FACTS", "here"), 2, "leave here out"),
        (("plan", "--facts", "/nothing"), 2, "/nothing cannot be read"),
        (("plan", "--facts", "FACTS", "--cert", "/c"), 2, "--cert and --key go together"),
        (("plan", "--facts", "FACTS", "--ca", "/c"), 2, "give that too"),
        (("plan", "--facts", "FACTS", "--cert", "/c", "--key", "/k"), 6, "facts --path /c"),
        (("plan", "--facts", "FACTS", "--port", "1100"), 6, "give --protocol"),
        (("plan", "--facts", "FACTS", "--port", "110"), 6, "nothing listens on port 110"),
        (("plan", "--facts", "FACTS", "--trust-leg", "x"), 2, "go with --backend"),
        (("plan", "--facts", "FACTS", "--backend", "old:109"), 2, "one of the two"),
        (
            ("plan", "--facts", "FACTS", "--backend", "old:109", "--trust-leg", "x"),
            2,
            "is not an address and a port",
        ),
        (("plan", "ssh://-oProxyCommand=x"), 2, "is not ssh://"),
        (("seal", "192.0.2.77:109", "--yes"), 2, "is not this host"),
        (("seal", "127.0.0.1:109", "--port", "109"), 2, "--port goes with ssh://"),
        (("seal", "ssh://h", "--confirm-within", "5"), 2, "--confirm-within"),
        (("apply", "/nothing"), 2, "/nothing cannot be read"),
        (("apply", "FACTS", "--on", "mailhost"), 2, "write it as ssh://mailhost"),
        (("rollback", "--on", "mailhost"), 2, "write it as ssh://mailhost"),
        (("facts", "mailhost"), 2, "write it as ssh://mailhost"),
        (("apply", "FACTS", "--yes"), 2, "a PlanFile is wanted"),
        (("verify", "127.0.0.1:109", "--ca", "/nothing"), 2, "/nothing cannot be used"),
    ],
)
def test_what_cannot_be_used(facts: str, words: tuple[str, ...], code: int, says: str):
    done = mailseal(*(facts if word == "FACTS" else word for word in words))
    assert done.returncode == code, done.stderr
    assert says in done.stderr.decode()


def test_facts_are_one_record(tmp_path: Path):
    done = mailseal("facts", "--path", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    record = json.loads(line)
    assert record["type"] == "HostFacts"
    assert str(tmp_path) in [each["path"] for each in record["files"]]


# -- who logs in -----------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> str:
    path = tmp_path / "store.sqlite3"
    now = rfc3339(time.time())
    seen = replace(login("al\x1bice"), endpoint=Endpoint("192.0.2.10", 109), first=now, last=now)
    with Store.open(str(path)) as there:
        there.record_logins(judged(seen), "x")
    return str(path)


def test_its_first_lines_name_who_logs_in(facts: str, store: str, tmp_path: Path):
    plan = str(tmp_path / "plan.json")
    done = mailseal("plan", "--facts", facts, "--store", store, "-o", plan)
    first_lines = done.stdout.decode().splitlines()[:8]
    assert len([line for line in first_lines if "al\\x1bice: 3 times" in line]) == 1
    asked = mailseal("apply", plan)
    assert "al\\x1bice: 3 times" in asked.stdout.decode()
    assert b"\x1b" not in asked.stdout
    hidden = ["--redact-users", "--redact-clients"]
    env = {"XDG_DATA_HOME": str(tmp_path)}
    done = mailseal("plan", "--facts", facts, "--store", store, *hidden, env=env)
    assert b"  user-" in done.stdout
    assert b"198.51.100.0/24" in done.stdout
    assert b"x1bice" not in done.stdout


def test_who_came_before_is_not_named(facts: str, store: str):
    words = ("plan", "--facts", facts, "--store", store, "--logins-since", "0h")
    done = mailseal(*words)
    assert b"Nobody was seen to log in here since" in done.stdout
    shorter = b"turning it off is the shorter way: --strategy retire."
    assert shorter in done.stdout
    assert shorter not in mailseal(*words, "--strategy", "retire").stdout


def test_where_quiet_is_required_and_is_not_is_one_line_and_exit_6(facts: str, store: str):
    done = mailseal("plan", "--facts", facts, "--store", store, "--require-quiet", "14d")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (6, b"", 1)
    assert b"1 user logged in without TLS here since" in done.stderr
    assert b"al\\x1bice" in done.stderr


@pytest.mark.parametrize(
    "words",
    [("--logins-since", "soon"), ("--require-quiet", "soon"), ("--store", "/nonexistent/x")],
)
def test_a_time_or_a_store_that_is_none_is_one_line_and_exit_2(facts: str, words: tuple[str, ...]):
    done = mailseal("plan", "--facts", facts, *words)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--certbot", "../x"), 2, b"no name of a certificate of certbot"),
        (("--certbot", "a", "--cert", "/c", "--key", "/k"), 2, b"exclude each other"),
        (("--ca", "/ca"), 2, b"who signed --cert or --certbot"),
        (("--certbot", "a"), 6, b"mailseal facts --path /etc/letsencrypt/live/a/fullchain.pem"),
    ],
)
def test_a_certificate_that_is_none_of_certbots_is_said(
    facts: str, words: tuple[str, ...], code: int, says: bytes
):
    done = mailseal("plan", "--facts", facts, *words)
    assert done.returncode == code
    assert says in done.stderr
