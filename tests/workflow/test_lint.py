"""What `lint` reads of a tree: what a file includes, copies and is read with, and no more."""

import os
import time
from pathlib import Path

import pytest

from mailseal.model.lint import LintReport
from mailseal.workflow import lint as workflow
from mailseal.workflow.linttree import Tree
from tests.configs.test_stunnel import free_port, listeners_of_stunnel, real

HEAD = "foreground = yes\n"
SECTION = "[{name}]\naccept = ::1:{port}\nconnect = /x\ncert = /c\n"


def run(*paths: Path, fix: bool = False) -> LintReport:
    return workflow.run(workflow.Request(tuple(map(str, paths)), fix), lambda *asked: True)


def told(report: LintReport, root: Path) -> dict[str, list[tuple[int, str]]]:
    """The lines and rules of the faults, by path."""
    return {
        str(Path(each.path).relative_to(root)): [(fault.line, fault.rule) for fault in each.faults]
        for each in report.files
    }


def write(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def stunnel(tmp_path: Path) -> Path:
    """A tree that is the root of another host."""
    write(
        tmp_path,
        etc__stunnel__stunnel_dot_conf=f"{HEAD}include = /etc/stunnel/conf.d\ndebug = 7\n",
        etc__stunnel__conf_dot_d__10=SECTION.format(name="a", port=109),
        etc__stunnel__conf_dot_d__20_dot_conf="[b]\naccept = 109\nconnect = /x\ncert = /c",
    )
    return tmp_path


def test_what_is_included_is_part_of_the_file_and_has_its_own_places(stunnel: Path):
    report = run(stunnel / "etc")
    assert told(report, stunnel / "etc/stunnel") == {
        "stunnel.conf": [(3, "stunnel-debug")],
        "conf.d/10": [],
        "conf.d/20.conf": [(2, "stunnel-accept-port-only")],
    }
    assert [each.unread for each in report.files] == [""] * 3
    assert not any(fault.fixable for each in report.files for fault in each.faults)


def test_a_file_that_includes_others_is_not_fixed(stunnel: Path):
    before = (stunnel / "etc/stunnel/stunnel.conf").read_bytes()
    run(stunnel, fix=True)
    assert (stunnel / "etc/stunnel/stunnel.conf").read_bytes() == before


@pytest.mark.parametrize("target", ["/etc/nothing", "../../outside", "link", "\0", "x" * 5000])
def test_no_include_leads_out_of_what_was_named(tmp_path: Path, target: str):
    write(tmp_path, outside__a_dot_conf="debug = 7\n", in__stunnel__stunnel_dot_conf="")
    (tmp_path / "in/stunnel/link").symlink_to(tmp_path / "outside")
    write(tmp_path, in__stunnel__stunnel_dot_conf=f"include = {target}\n")
    (only,) = run(tmp_path / "in").files
    assert "stunnel-debug" not in [fault.rule for fault in only.faults]
    assert only.unread or target == "\0"


def test_a_file_that_includes_its_own_folder_ends(tmp_path: Path):
    write(tmp_path, stunnel_dot_conf=f"foreground = yes\ninclude = {tmp_path}\n", b="[x]\n" * 10)
    report = run(tmp_path)
    assert len(report.files) == 2
    assert any("include is not followed" in each.unread for each in report.files)


@real
def test_stunnel_itself_goes_on_behind_an_include_in_the_section_that_it_began(tmp_path: Path):
    (tmp_path / "more").mkdir()
    ports = free_port(), free_port()
    (tmp_path / "more/a").write_text("[x]\nclient = yes\nconnect = 127.0.0.1:1\n")
    (tmp_path / "more/.b~").write_text(f"[y]\nclient = yes\nconnect = 1\naccept = ::1:{ports[1]}\n")
    (tmp_path / "more/c").write_text("[z]\nclient = yes\nconnect = 127.0.0.1:1\n")
    text = f"debug = 7\nforeground = yes\npid =\ninclude = {tmp_path}/more\naccept = 127.0.0.1:0\n"
    assert listeners_of_stunnel(tmp_path, text.encode()) is None
    (tmp_path / "more/a").unlink()
    assert listeners_of_stunnel(tmp_path, text.encode()) is not None


def test_the_files_of_postfix_are_read_together(tmp_path: Path):
    write(
        tmp_path,
        main_dot_cf="smtpd_sasl_auth_enable = $auth\nauth = yes\n",
        master_dot_cf=(
            "smtp inet n - y - - smtpd\n -o smtpd_sasl_auth_enable=no\n"
            "submission inet n - y - - smtpd\n -o smtpd_tls_security_level=encrypt\n"
            "2525 inet n - y - - smtpd\n -o smtpd_sasl_auth_enable=yes\n"
        ),
    )
    assert told(run(tmp_path), tmp_path) == {
        "main.cf": [],
        "master.cf": [(6, "postfix-cleartext-login")],
    }
    (tmp_path / "master.cf").write_text("smtp inet n - y - - smtpd\n")
    expected = {"main.cf": [(1, "postfix-main-cleartext-login")], "master.cf": []}
    assert told(run(tmp_path), tmp_path) == expected
    write(tmp_path, main_dot_cf="smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = yes\n")
    assert not any(told(run(tmp_path), tmp_path).values())


def test_cyrus_counts_the_services_that_there_are(tmp_path: Path):
    write(
        tmp_path,
        imapd_dot_conf="allowplaintext: yes\nimap_allowplaintext: no\npop3_allowplaintext: yes\n",
        cyrus_dot_conf='SERVICES {\n  imap cmd="imapd" listen="imap"\n}\n',
    )
    assert not any(told(run(tmp_path), tmp_path).values())
    with (tmp_path / "cyrus.conf").open("a") as file:
        file.write(
            'SERVICES {\n pop3 cmd="pop3d" listen="pop3"\n imaps cmd="imapd -s" listen="imaps"\n}\n'
        )
    found = told(run(tmp_path), tmp_path)["imapd.conf"]
    assert found == [(3, "cyrus-cleartext-login")]


def test_courier_serves_nobody_where_it_does_not_start(tmp_path: Path):
    write(
        tmp_path,
        courier__imapd="IMAPDSTART=NO\n",
        **{"courier__imapd-ssl": "IMAP_TLS_REQUIRED=0\n"},
    )
    assert not any(told(run(tmp_path), tmp_path).values())
    write(tmp_path, courier__imapd="IMAPDSTART=YES\nADDRESS=127.0.0.1\n")
    assert not any(told(run(tmp_path), tmp_path).values())
    write(tmp_path, courier__imapd="ADDRESS=0\n")
    assert any(told(run(tmp_path), tmp_path).values())


def test_a_file_is_what_it_is_copied_to(tmp_path: Path):
    write(
        tmp_path,
        roles__m__tasks__main_dot_yml=(
            "- template: {src: tls.j2, dest: /etc/stunnel/a.conf}\n"
            "- copy: {src: mail, dest: /etc/dovecot/dovecot.conf}\n"
            "- copy: {src: ../../../../outside, dest: /etc/dovecot/dovecot.conf}\n"
        ),
        roles__m__templates__tls_dot_j2="debug = 7\ncert = {{ cert }}\n",
        roles__m__files__mail="auth_allow_cleartext = yes\n",
        image__Dockerfile="FROM x\nCOPY conf/mail /etc/postfix/main.cf\nCOPY no /etc/inetd.conf\n",
        image__conf__mail="smtpd_tls_auth_only = no\n",
        other="text",
    )
    report = run(tmp_path)
    assert told(report, tmp_path) == {
        "image/Dockerfile": [],
        "roles/m/tasks/main.yml": [],
        "roles/m/templates/tls.j2": [(1, "stunnel-debug")],
        "roles/m/files/mail": [(1, "dovecot-cleartext-login")],
        "image/conf/mail": [(1, "postfix-auth-only-off")],
    }
    assert report.passed == 1


def test_what_a_tree_gives_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(300):
        (tmp_path / f"{number:03}").write_text("x" * 20_000)
    os.mkfifo(tmp_path / "000-pipe")
    found = Tree([str(tmp_path)]).beside(str(tmp_path / "a.conf"), str(tmp_path))
    assert [Path(path).name for path, _ in found] == [f"{number:03}" for number in range(199)]


def test_a_file_of_three_megabytes_takes_seconds_of_nobody(tmp_path: Path):
    for text in (
        "[a]\naccept = 0.0.0.0:109\nconnect = /x\n" * 75_000,
        "debug = 7 ; x\n" * 210_000,
        "options = x\n" * 25_000 + "[a]\naccept = 109\n" * 12_000 + "#" * 2_500_000,
    ):
        write(tmp_path, stunnel_dot_conf=text[:3_000_000])
        began = time.process_time()
        run(tmp_path)
        assert time.process_time() - began < 4
