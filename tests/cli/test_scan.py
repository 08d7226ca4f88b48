"""`mailseal scan` as it is used: real processes against real peers on loopback."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mailseal.cli.exits import Exit, of_form
from mailseal.model import codec
from mailseal.model.finding import Verdict
from mailseal.model.look import Endpoint
from mailseal.report.forms import FORMS
from mailseal.report.result import Scan, ScanResult
from tests.certs.make import certificate
from tests.cli.program import PROGRAM, environment, mailseal, on_terminal
from tests.debian import program
from tests.probe import peers
from tests.probe.certificates import anything_goes, server_context
from tests.project.tree import ROOT

GOLDEN = Path(__file__).parent / "golden"
DISABLED = b"- POP2 server disabled on this system\r\n"
HOSTILE = b"+ POP2 \x1b[2J\x1b]0;owned\x07 \x00\x7f\x9b31m \xe2\x80\xae \xe2\x81\xa6 end\r\n"
PATIENCE = ("--timeout", "1")
"""Seconds: TLS is tried after a silence, and a silence is waited for."""
SECRET = "correct-horse"


def account(connection: socket.socket) -> None:
    """A POP2 server with one account, that repeats what it is told."""
    peers.pop2(connection, users={b"probe": SECRET.encode()})


def parrot(connection: socket.socket) -> None:
    """Repeats the login in its refusal."""
    connection.sendall(b"+ POP2 parrot ready\r\n")
    for line in peers.lines(connection):
        connection.sendall(b"- Bad login: " + line)
        return


@pytest.fixture(scope="module")
def exposed() -> Iterator[Endpoint]:
    with peers.serving(peers.pop2) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA file, and beside it `server.pem` with key and certificate for mail.example."""
    folder = tmp_path_factory.mktemp("ca")
    key = ec.generate_private_key(ec.SECP256R1())
    der = certificate("mail.example", key=key, since="2025-01-01", until="2045-01-01",
                      subject="\x1b[2J\u202email")  # fmt: skip
    write_pem(folder / "server.pem", key, der)
    write_pem(folder / "ca.pem", None, der)
    return folder / "ca.pem"


def write_pem(path: Path, key: ec.EllipticCurvePrivateKey | None, der: bytes) -> None:
    import ssl

    text = ssl.DER_cert_to_PEM_cert(der).encode()
    if key is not None:
        text += key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    path.write_bytes(text)


@pytest.fixture
def sealed(authority: Path) -> Iterator[Endpoint]:
    """POP2 inside TLS alone, behind a self-signed certificate with a hostile subject."""
    context = anything_goes()
    context.load_cert_chain(authority.parent / "server.pem")
    with peers.serving(peers.secured(context, peers.pop2)) as endpoint:
        yield endpoint


def settled(out: bytes, *endpoints: Endpoint) -> str:
    """Output with what differs from run to run replaced."""
    text = out.decode()
    for endpoint in endpoints:
        text = text.replace(str(endpoint.port), "PORT")
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "MOMENT", text)
    return re.sub(r'("id": |"id":)"[0-9a-f]{12}"', r'\1"ID"', text)


# -- output ----------------------------------------------------------------------------------------


def test_the_text_of_an_exposed_service(exposed: Endpoint):
    run = mailseal("scan", str(exposed))
    assert run.stderr == b""
    assert settled(run.stdout, exposed) == (GOLDEN / "exposed.txt").read_text()


def test_the_text_of_several_has_a_sum(exposed: Endpoint):
    with peers.closed() as closed:
        run = mailseal("scan", str(exposed), str(closed))
    lines = run.stdout.decode().splitlines()
    assert f"{closed}  ABSENT: closed: connection refused" in lines
    assert lines[-1] == "2 endpoints: 1 exposed, 0 refused, 1 absent, 0 inconclusive"


def test_a_document_reads_back(exposed: Endpoint):
    run = mailseal("scan", "--format", "json", str(exposed))
    scan = codec.loads(Scan, run.stdout, lenient=False)
    assert scan.counts == {"exposed": 1, "refused": 0, "absent": 0, "inconclusive": 0}
    assert scan.results[0].endpoint == exposed
    assert scan.started <= scan.results[0].observations[0].start <= scan.ended
    assert settled(run.stdout, exposed) == (GOLDEN / "exposed.json").read_text()


def test_a_log_has_the_exit_code_and_the_pages_of_the_rules(exposed: Endpoint, tmp_path: Path):
    out = tmp_path / "mailseal.sarif"
    run = mailseal("scan", "--format", "sarif", "-o", str(out), str(exposed))
    (log,) = json.loads(out.read_text())["runs"]
    assert log["invocations"][0]["exitCode"] == run.returncode == Exit.EXPOSED
    (rule,) = log["tool"]["driver"]["rules"]
    page = ROOT / "docs/rules/pop2-cleartext-login.md"
    assert rule["help"]["markdown"] == page.read_text()


def test_a_case_fails_from_the_severity_that_fails_the_program(sealed: Endpoint):
    for severity, code in (("medium", Exit.EXPOSED), ("high", Exit.CLEAN)):
        options = ("--format", "junit", "--fail-on", severity)
        run = mailseal("scan", *PATIENCE, *options, str(sealed))
        assert run.returncode == code
        assert (b"<failure" in run.stdout) is (code == Exit.EXPOSED)


def test_a_line_comes_as_soon_as_its_endpoint_is_done(exposed: Endpoint):
    with (
        peers.serving(peers.says(stay=30)) as silent,
        subprocess.Popen(
            [*PROGRAM, "scan", "--format", "ndjson", "--timeout", "20", str(silent), str(exposed)],
            stdout=subprocess.PIPE,
            env=environment(),
        ) as process,
    ):
        assert process.stdout is not None
        try:
            first = codec.loads(ScanResult, process.stdout.readline(), lenient=False)
            assert process.poll() is None, "the silent one is still being waited for"
        finally:
            process.kill()
    assert (first.endpoint, first.verdict) == (exposed, Verdict.EXPOSED)


def test_every_line_is_a_record(exposed: Endpoint):
    name = "a" * 64 + ".example"  # No resolver is asked for a label that long.
    run = mailseal("scan", "--format", "ndjson", str(exposed), name)
    read = [codec.loads(ScanResult, line, lenient=False) for line in run.stdout.splitlines()]
    assert {(r.asked, r.verdict) for r in read} == {
        ("127.0.0.1", Verdict.EXPOSED),
        (name, Verdict.INCONCLUSIVE),
    }


def test_targets_from_a_file_and_from_stdin(exposed: Endpoint, tmp_path: Path):
    listed = tmp_path / "hosts.txt"
    listed.write_text(f"# ours\n{exposed}\n")
    with peers.closed() as closed:
        stdin = f"{closed}\n".encode()
        run = mailseal("scan", "-l", str(listed), "-", "--format", "ndjson", stdin=stdin)
    assert sorted(json.loads(line)["verdict"] for line in run.stdout.splitlines()) == [
        "absent",
        "exposed",
    ]


# -- exit codes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "options", "code"),
    [
        (peers.pop2, (), Exit.EXPOSED),
        (peers.says(DISABLED), (), Exit.CLEAN),
        (peers.says(b"SSH-2.0-x\r\n"), (), Exit.CLEAN),
        (peers.says(stay=1), (), Exit.INCONCLUSIVE),
        (peers.reset, (), Exit.INCONCLUSIVE),
        (account, ("--user", "probe"), Exit.EXPOSED),
        (parrot, ("--prove",), Exit.EXPOSED),
    ],
    ids=["exposed", "disabled", "ssh", "silent", "reset", "account", "throwaway"],
)
def test_the_exit_code_of_a_verdict(peer: peers.Peer, options: tuple[str, ...], code: Exit):
    with peers.serving(peer) as endpoint:
        run = mailseal(
            "scan", *PATIENCE, *options, str(endpoint), env={"MAILSEAL_PASSWORD": SECRET}
        )
    assert run.returncode == code, run.stdout + run.stderr


def test_exposed_outranks_inconclusive_which_outranks_clean(exposed: Endpoint):
    lost = "a" * 64 + ".example"
    with peers.closed() as closed:
        assert mailseal("scan", str(closed)).returncode == Exit.CLEAN
        assert mailseal("scan", lost, str(closed)).returncode == Exit.INCONCLUSIVE
        assert mailseal("scan", lost, str(exposed), str(closed)).returncode == Exit.EXPOSED


def test_what_else_fails_is_chosen_by_severity(sealed: Endpoint, authority: Path):
    options = ("--ca", str(authority), "--name", "mail.example", "--no-tls-versions")
    for severity, code in (("medium", Exit.EXPOSED), ("high", Exit.CLEAN)):
        assert mailseal("scan", *PATIENCE, "--fail-on", severity, str(sealed)).returncode == code
    run = mailseal("scan", *PATIENCE, "--fail-on", "info", *options, str(sealed))
    assert run.returncode == Exit.CLEAN, run.stdout


def test_an_exposed_service_fails_whatever_the_severity(exposed: Endpoint):
    run = mailseal("scan", "--fail-on", "critical", str(exposed))
    assert run.returncode == Exit.EXPOSED


def test_an_interrupt_ends_it_at_once():
    with (
        peers.serving(peers.says(b"+ POP2 ready\r\n", stay=30)) as endpoint,
        subprocess.Popen(
            [
                *PROGRAM,
                "scan",
                "--format",
                "ndjson",
                "--timeout",
                "60",
                "127.0.0.2:1",
                str(endpoint),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline(), "the closed one is reported, so the scan is on"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == Exit.INTERRUPTED
            assert process.stderr.read().strip() == b"mailseal: interrupted"
        finally:
            process.kill()


@pytest.mark.parametrize("form", ["text", "ndjson"])
def test_a_reader_who_leaves_is_no_fault_and_no_verdict(form: str):
    with peers.closed() as closed:
        command = ["scan", "--format", form, "--ports", str(closed.port)]
        if form == "text":
            listed = "\n".join(f"127.0.{i}.{j}" for i in range(8) for j in range(1, 255))
            command += ["-"]
        else:
            listed, command = "", [*command, "127.0.0.0/22"]
        with subprocess.Popen(
            [*PROGRAM, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                process.stdin.write(listed.encode())
                process.stdin.close()
                assert process.stdout.readline()
                process.stdout.close()
                assert process.wait(30) == Exit.INCONCLUSIVE
                assert process.stderr.read() == b""
            finally:
                process.kill()


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "there is no target"),
        (["mail example"], "is no host name, address or network"),
        (["gopher://mail.example"], "the scheme is none of"),
        (["mail.example:0"], "is no port"),
        (["mail.example:99999"], "is no port"),
        (["[::1"], "an IPv6 address is written [address]:port"),
        (["10.0.0.0/33"], "10.0.0.0/33"),
        (["127.0.0.1", "--ports", "all"], "write them as 109,110"),
        (["-l", "/nonexistent/hosts"], "the list /nonexistent/hosts cannot be read: No such file"),
        (["127.0.0.1", "--ca", "/nonexistent/ca.pem"], "cannot be used: No such file"),
        (["127.0.0.1", "--ca", "/etc/passwd"], "it holds no certificate in PEM form"),
        (["127.0.0.1", "--timeout", "0"], "0.1<=x<=600"),
        (["127.0.0.1", "--concurrency", "0"], "1<=x<=65536"),
        (["127.0.0.1", "--format", "xml"], "'xml' is not one of"),
        (["127.0.0.1", "--vantage", "wire"], "'wire' is not one of"),
        (["127.0.0.1", "--fail-on", "bad"], "'bad' is not one of"),
        (["127.0.0.1", "-o", "/nonexistent/out"], "cannot be written: No such file"),
        (["127.0.0.1", "--password", SECRET], "No such option"),
        (["127.0.0.1", "--password-fd", "0"], "--password-fd goes with --user"),
        (["127.0.0.1", "--user", "probe"], "use --password-fd or MAILSEAL_PASSWORD"),
        (["127.0.0.1", "--user", "probe", "--password-fd", "99"], "cannot be read: Bad file"),
        (["127.0.0.1", "--user", "probe", "--password-fd", "0"], "holds no password"),
    ],
)
def test_bad_input_is_said_and_nothing_is_done(arguments: list[str], words: str):
    run = mailseal("scan", *arguments)
    assert (run.returncode, run.stdout) == (Exit.USAGE, b"")
    assert words in " ".join(run.stderr.decode().split())
    assert b"Traceback" not in run.stderr


def test_octets_for_targets_and_no_stdin_at_all():
    run = mailseal("scan", "-", stdin=b"\xff\x1b[2J\x00\n")
    assert run.returncode == Exit.USAGE
    assert b"stdin, line 1: " in run.stderr
    assert harmless(run.stderr)
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM, "scan", "--user", "probe", "127.0.0.1"],
        capture_output=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert closed.returncode == Exit.USAGE
    assert b"no terminal to ask" in closed.stderr


def test_a_locale_without_the_letter_is_no_fault(sealed: Endpoint):
    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    run = mailseal("scan", *PATIENCE, "--name", "gr\u00fc\u00df", str(sealed), env=env)
    assert run.returncode == Exit.CLEAN, run.stderr
    assert b"not for gr\\xfc\\xdf" in run.stdout


def test_a_file_is_not_overwritten_unless_told(exposed: Endpoint, tmp_path: Path):
    out = tmp_path / "out.json"
    out.write_text("precious")
    run = mailseal("scan", "-o", str(out), str(exposed))
    assert (run.returncode, out.read_text()) == (Exit.USAGE, "precious")
    assert b"choose another name, or give --overwrite" in run.stderr
    run = mailseal("scan", "-o", str(out), "--overwrite", "--format", "json", str(exposed))
    assert (run.returncode, run.stdout) == (Exit.EXPOSED, b"")
    assert codec.loads(Scan, out.read_bytes(), lenient=False).counts["exposed"] == 1


def test_results_are_for_their_owner_alone(exposed: Endpoint, tmp_path: Path):
    assert mailseal("scan", "-o", str(tmp_path / "out"), str(exposed)).returncode == 1
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("to", ["-o", "stdout"])
def test_a_full_disk_is_said(exposed: Endpoint, to: str):
    if to == "-o":
        run = mailseal("scan", "-o", "/dev/full", "--overwrite", str(exposed))
    else:
        with open("/dev/full", "wb") as full:
            run = subprocess.run(
                [*PROGRAM, "scan", str(exposed)],
                stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60,
            )  # fmt: skip
    assert run.returncode == Exit.USAGE
    assert b"the results cannot be written: No space left on device" in run.stderr


# -- monitors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["ENDPOINT"], 2, b"MAILSEAL CRITICAL - 1 endpoints: 1 exposed"),
        (["127.0.0.1:1"], 0, b"MAILSEAL OK - 1 endpoints: 0 exposed"),
        (["--must-answer", "127.0.0.1:1"], 2, b"; 127.0.0.1:1 absent: "),
        (["no.such.invalid:109"], 3, b"MAILSEAL UNKNOWN - 1 endpoints: 0 exposed"),
        (["--ca", "/nothing", "127.0.0.1:1"], 3, b"cannot be used"),
    ],
)
def test_a_monitor_is_told_in_its_own_codes(words: list[str], code: int, says: bytes):
    with peers.serving(peers.pop2) as endpoint:
        asked = [word.replace("ENDPOINT", str(endpoint)) for word in words]
        run = mailseal("scan", *PATIENCE, "--no-store", "--format", "nagios", *asked)
    assert run.returncode == code, run.stderr
    assert says in run.stdout + run.stderr
    assert run.stdout.count(b"\n") == (0 if run.stderr else 1)


def test_a_tool_for_plugins_finds_the_state_where_plugins_have_it():
    """negate(1) of the monitoring plugins, which turns the code and the word in the text round."""
    with peers.serving(peers.pop2) as endpoint:
        plugin = [*PROGRAM, "scan", *PATIENCE, "--no-store", "--format", "nagios", str(endpoint)]
        words = [str(program("negate")), "-s", "-o", "CRITICAL", "-c", "OK", *plugin]
        run = subprocess.run(words, capture_output=True, check=False, timeout=60)
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.startswith(b"MAILSEAL OK - 1 endpoints: 1 exposed")


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("peer", [account, parrot])
@pytest.mark.parametrize("by", ["environment", "descriptor"])
def test_the_password_goes_to_the_server_alone(form: str, peer: peers.Peer, by: str):
    options = ["scan", "--user", "probe", "--format", form]
    with peers.serving(peer) as endpoint:
        if by == "environment":
            run = mailseal(*options, str(endpoint), env={"MAILSEAL_PASSWORD": SECRET})
        else:
            run = mailseal(
                *options, "--password-fd", "0", str(endpoint), stdin=f"{SECRET}\r\nrest".encode()
            )
    assert run.returncode == of_form(form, Exit.EXPOSED)
    grade = b"proven" if peer is account else b"accepted"
    assert grade in run.stdout
    assert SECRET.encode() not in run.stdout + run.stderr


def test_the_password_is_asked_for_on_the_terminal_and_not_shown():
    with peers.serving(account) as endpoint:
        code, shown = on_terminal(
            "scan", "--user", "probe", str(endpoint), types=SECRET.encode() + b"\n"
        )
    assert code == Exit.EXPOSED, shown
    assert b"Password of probe: " in shown
    assert b"proven" in shown
    assert SECRET.encode() not in shown


@pytest.mark.parametrize("debug", ["0", "1"])
def test_a_password_that_cannot_be_sent_is_not_repeated(debug: str):
    env = {"MAILSEAL_PASSWORD": SECRET + "\nQUIT", "MAILSEAL_DEBUG": debug}
    run = mailseal("scan", "--user", "probe", "127.0.0.1", env=env)
    assert run.returncode == Exit.USAGE
    assert b"the test account: a password with a line end" in run.stderr
    assert SECRET.encode() not in run.stdout + run.stderr


def test_a_password_is_not_sent_to_a_network():
    env = {"MAILSEAL_PASSWORD": SECRET}
    run = mailseal("scan", "--user", "probe", "127.0.0.0/30", env=env)
    assert run.returncode == Exit.USAGE
    assert b"name the hosts" in run.stderr


# -- hostile servers and terminals -----------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_hostile_banner_does_not_reach_the_reader(form: str):
    with peers.serving(peers.says(HOSTILE, stay=1)) as endpoint:
        run = mailseal("scan", *PATIENCE, "--format", form, str(endpoint))
    seen = run.stdout + run.stderr
    assert b"end" in seen
    assert harmless(seen)


@pytest.mark.parametrize("form", FORMS)
def test_a_hostile_certificate_does_neither(form: str, sealed: Endpoint):
    run = mailseal("scan", *PATIENCE, "--format", form, "--name", "mail.example", str(sealed))
    assert b"untrusted" in run.stdout
    assert harmless(run.stdout + run.stderr)


def harmless(seen: bytes) -> bool:
    text = seen.decode().replace("\r\n", "\n")  # CSV ends its lines so.
    return all(char == "\n" or char.isprintable() for char in text)


def test_colour_is_for_terminals_and_not_for_no_color():
    with peers.serving(peers.says(HOSTILE, stay=1)) as endpoint:
        options = ("scan", *PATIENCE, str(endpoint))
        _, coloured = on_terminal(*options)
        _, plain = on_terminal(*options, env={"NO_COLOR": "1"})
    # Colours, and the progress line's own "erase to the end of the line"; nothing of the server's.
    assert set(re.findall(rb"\x1b[^m-zA-Z]*[a-zA-Z]?", coloured)) <= {
        *(b"\x1b[%dm" % code for code in (0, 1, 2, 31, 32, 33)),
        b"\x1b[K",
    }
    assert b"\x1b[1m" in coloured
    assert set(re.findall(rb"\x1b[^m-zA-Z]*[a-zA-Z]?", plain)) <= {b"\x1b[K"}
    assert b"\x07" not in coloured + plain


def test_progress_is_shown_on_a_terminal_alone(exposed: Endpoint):
    _, shown = on_terminal("scan", str(exposed))
    assert b"\rlooking\x1b[K" in shown
    assert mailseal("scan", str(exposed)).stderr == b""


# -- a remote vantage, the canary ------------------------------------------------------------------


def test_a_remote_vantage_of_our_own_address_is_not_claimed(exposed: Endpoint):
    run = mailseal("scan", "--vantage", "remote", "--format", "ndjson", str(exposed))
    assert run.returncode == Exit.INCONCLUSIVE
    result = codec.loads(ScanResult, run.stdout, lenient=False)
    assert result.observations == ()
    assert "must be taken from another host" in result.reason


@pytest.mark.skipif(os.geteuid() != 0, reason="port 143 needs root")
def test_the_canary_listens_on_the_port_of_imap(exposed: Endpoint):
    run = mailseal("scan", "--prove-remote", str(exposed))
    words = b"asked to log in at 127.0.0.1, the server did not come"
    # A machine with an IMAP server of its own cannot do it, and says so.
    taken = b"cannot listen on 127.0.0.1 port 143: Address already in use"
    assert (words in run.stdout) is not (taken in run.stdout)


def test_a_good_server_is_clean(tmp_path: Path):
    import trustme

    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = server_context(ca.issue_cert("mail.example"))
    with peers.serving(peers.secured(context, peers.pop2)) as endpoint:
        options = ("--ca", str(tmp_path / "ca.pem"), "--name", "mail.example")
        run = mailseal("scan", *PATIENCE, "--fail-on", "info", *options, str(endpoint))
    assert run.returncode == Exit.CLEAN, run.stdout
    assert b"REFUSED" in run.stdout
