"""Exports on the command line: what is written where, and what is refused."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from mailseal.cli import export as command
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.workflow import export as workflow
from tests.cli.program import mailseal
from tests.plan import hosts

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture
def plan(tmp_path: Path) -> str:
    """A plan file."""
    facts = tmp_path / "facts.json"
    facts.write_text(codec.dumps(gather(hosts.inetd())))
    path = tmp_path / "plan.json"
    words = ("plan", "--facts", str(facts), "--name", "mail.example", "-o", str(path))
    assert mailseal(*words).returncode == 0
    return str(path)


def modes(folder: Path) -> dict[str, int]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in found}


def test_the_command_offers_every_form():
    assert command._FORMS == workflow.FORMS


def test_a_runbook_is_for_its_owner_alone_and_names_the_plan(plan: str, tmp_path: Path):
    folder = tmp_path / "deep" / "book"
    done = mailseal("export", plan, "--to", "shell", "-o", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    assert b"wrote runbook.sh, undo.sh in %s" % str(folder).encode() in done.stderr
    assert modes(folder) == {"runbook.sh": 0o700, "undo.sh": 0o700}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    payload = json.loads(Path(plan).read_text())["payload"].encode()
    assert hashlib.sha256(payload).hexdigest() in (folder / "runbook.sh").read_text()


def test_a_client_pack_holds_the_given_authority(plan: str, tmp_path: Path):
    (tmp_path / "ca.crt").write_text(PEM)
    folder = tmp_path / "pack"
    words = ("export", plan, "--to", "client-pack", "--ca", str(tmp_path / "ca.crt"))
    assert mailseal(*words, "-o", str(folder)).returncode == 0
    assert set(modes(folder).values()) == {0o644}
    assert (folder / "ca.crt").read_text() == PEM
    assert (folder / "windows" / "stunnel.conf").is_file()


def test_a_role_has_the_plan_in_the_variables_of_its_host(plan: str, tmp_path: Path):
    folder = tmp_path / "fleet"
    done = mailseal("export", plan, "--to", "ansible", "-o", str(folder))
    assert done.returncode == 0, done.stderr
    assert b"wrote inventory.yml, playbook.yml, undo.yml, host_vars, roles in " in done.stderr
    assert set(modes(folder).values()) == {0o600}
    (variables,) = (folder / "host_vars").iterdir()
    payload = json.loads(Path(plan).read_text())["payload"].encode()
    assert hashlib.sha256(payload).hexdigest() in variables.read_text()[:400]


@pytest.mark.parametrize(
    ("form", "words", "written"),
    [
        (
            "openscap",
            ("--ca", "CA"),
            {"benchmark.xml": 0o644, "files-oval.xml": 0o644, "look.sh": 0o755, "ca.crt": 0o644},
        ),
        (
            "inspec",
            (),
            dict.fromkeys(
                ("inspec.yml", "controls/mailseal.rb", "files/claims.json", "files/look.sh"), 0o644
            ),
        ),
        (
            "nagios",
            (),
            dict.fromkeys(
                (
                    *("mailseal.cfg", "mailseal-hosts.cfg"),
                    *("mailseal.conf", "mailseal-hosts.conf"),
                ),
                0o644,
            ),
        ),
    ],
)
def test_checks_for_others_are_files_that_their_programs_can_read(
    plan: str, tmp_path: Path, form: str, words: tuple[str, ...], written: dict[str, int]
):
    (tmp_path / "ca.crt").write_text(PEM)
    told = [str(tmp_path / "ca.crt") if word == "CA" else word for word in words]
    folder = tmp_path / "out"
    # Of a host each, or of one host twice: the same promise is one check.
    done = mailseal("export", plan, plan, "--to", form, *told, "-o", str(folder))
    assert done.returncode == 0, done.stderr
    assert modes(folder) == written


def test_what_exists_is_replaced_only_where_that_was_asked_for(plan: str, tmp_path: Path):
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "undo.sh").write_text("mine")
    words = ("export", plan, "--to", "shell", "-o", str(folder))
    done = mailseal(*words)
    assert done.returncode == 2
    assert b"undo.sh exists: choose another folder, or give --overwrite" in done.stderr
    assert modes(folder).keys() == {"undo.sh"}
    assert (folder / "undo.sh").read_text() == "mine"
    assert mailseal(*words, "--overwrite").returncode == 0
    assert (folder / "undo.sh").read_text().startswith("#!/bin/sh")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("/nothing", "--to", "shell", "-o", "OUT"), 2, "/nothing cannot be read"),
        (("PLAN", "--to", "client-pack", "-o", "OUT"), 2, "give its file with --ca"),
        (
            ("PLAN", "--to", "shell", "--ca", "PLAN", "-o", "OUT"),
            2,
            "goes with --to client-pack, openscap, nagios",
        ),
        (("PLAN", "--to", "client-pack", "--ca", "PLAN", "-o", "OUT"), 2, "no certificate"),
        (("PLAN", "--to", "shell", "-o", "PLAN"), 2, "cannot be written"),
        (("PLAN", "--to", "cobol", "-o", "OUT"), 2, "cobol"),
        (("PLAN", "--to", "shell"), 2, "--output"),
        (("PLAN", "PLAN", "--to", "shell", "-o", "OUT"), 2, "shell is a form of one plan"),
        (("PLAN", "PLAN", "--to", "ansible", "-o", "OUT"), 2, "two plans for"),
        (("--to", "ansible", "-o", "OUT"), 2, "PLAN"),
        (("EDITED", "--to", "shell", "-o", "OUT"), 6, "was edited after it was made"),
        (("DRAFT", "--to", "markdown", "-o", "OUT"), 2, "is a draft"),
    ],
)
def test_what_is_refused(plan: str, tmp_path: Path, words: tuple[str, ...], code: int, says: str):
    (tmp_path / "edited.json").write_text(Path(plan).read_text().replace("825", "826"))
    facts = tmp_path / "facts.json"
    facts.write_text(facts.read_text().replace('"privileged":true', '"privileged":false'))
    draft = str(tmp_path / "draft.json")
    mailseal("plan", "--facts", str(facts), "--name", "mail.example", "-o", draft)
    named = {
        "PLAN": plan,
        "OUT": str(tmp_path / "out"),
        "EDITED": str(tmp_path / "edited.json"),
        "DRAFT": draft,
    }
    done = mailseal("export", *(named.get(word, word) for word in words))
    assert done.returncode == code, done.stderr
    assert says in done.stderr.decode()
    assert not (tmp_path / "out").exists()
