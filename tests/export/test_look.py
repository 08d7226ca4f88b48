"""The script that looks for OpenSCAP and InSpec: what it says of servers, held against what
mailseal itself proves of them. It may leave open what mailseal decides, never say the opposite.
"""

from __future__ import annotations

import grp
import os
import random
import re
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
import trustme

from mailseal.model.look import Endpoint, Vantage
from mailseal.model.plan import Claim, ClaimKind, Result
from mailseal.probe import blocking
from mailseal.protocols import answers, pop2
from mailseal.prove import prover
from mailseal.workflow.export import KIT
from tests.probe import peers
from tests.probe.certificates import server_context
from tests.project.tree import PACKAGE

SCRIPT = PACKAGE / "export" / KIT / "look.sh"
NAME = "mail.example"
CODES = {101: Result.PASS, 102: Result.FAIL, 104: Result.UNKNOWN}

OK = b"+OK ready\r\n"
IMAP = b"* OK ready\r\n"
NO_POP3 = {b"USER": b"-ERR Plaintext authentication disallowed on non-secure connections.\r\n"}
IMAP_NO = b" NO [PRIVACYREQUIRED] Use STARTTLS first\r\n"
NO_IMAP = {
    b"M1": b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\nm1 OK done\r\n",
    **{b"M%d" % number: b"m%d" % number + IMAP_NO for number in (2, 3, 4)},
    b"M5": b"* BYE\r\nm5 OK done\r\n",
}
EHLO = {b"EHLO": b"250-mail.example\r\n250-STARTTLS\r\n250 HELP\r\n"}
SIEVE = b'"IMPLEMENTATION" "x"\r\n"SASL" ""\r\n"STARTTLS"\r\nOK ready\r\n'
NO_PLAIN = b"-ERR unsupported authentication mechanism\r\n"

REFUSALS = {
    "pop2-asks-for-a-name": ("pop2", peers.pop2, Result.FAIL),
    "pop2-disabled": (
        "pop2",
        peers.says(b"- POP2 server disabled on this system\r\n"),
        Result.PASS,
    ),
    "pop2-busy": ("pop2", peers.says(b"- Too busy, come back\r\n"), Result.UNKNOWN),
    "pop2-command-disabled": (
        "pop2",
        peers.scripted(b"+ POP2\r\n", {b"*": b"- command disabled\r\n"}),
        Result.PASS,
    ),
    "pop2-another-no": (
        "pop2",
        peers.scripted(b"+ POP2\r\n", {b"*": b"- Unknown command\r\n"}),
        Result.FAIL,
    ),
    "pop2-http": ("pop2", peers.http, Result.UNKNOWN),
    "pop2-ends": ("pop2", peers.close, Result.UNKNOWN),
    "pop2-resets": ("pop2", peers.reset, Result.UNKNOWN),
    "pop2-floods": ("pop2", peers.forever(b"x" * 5000), Result.UNKNOWN),
    "pop3-user-taken": (
        "pop3",
        peers.scripted(OK, {b"USER": b"+OK\r\n", b"*": b"-ERR\r\n"}),
        Result.FAIL,
    ),
    "pop3-plain-taken": (
        "pop3",
        peers.scripted(OK, {**NO_POP3, b"AUTH": b"+ \r\n", b"*": b"-ERR\r\n"}),
        Result.FAIL,
    ),
    "pop3-plain-disallowed": ("pop3", peers.scripted(OK, {**NO_POP3, b"*": NO_PLAIN}), Result.PASS),
    "pop3-a-no-without-words": (
        "pop3",
        peers.scripted(OK, {b"USER": b"-ERR no\r\n", b"*": NO_PLAIN}),
        Result.UNKNOWN,
    ),
    "imap-login-disabled": (
        "imap",
        peers.scripted(IMAP, NO_IMAP),
        Result.PASS,
    ),
    "imap-plain-prompts": (
        "imap",
        peers.scripted(IMAP, {**NO_IMAP, b"M2": b"+ \r\n"}),
        Result.FAIL,
    ),
    "imap-login-not-disabled": (
        "imap",
        peers.scripted(
            IMAP, {**NO_IMAP, b"M1": b"m1 OK done\r\n", b"M3": b"m3 NO Login failed\r\n"}
        ),
        Result.FAIL,
    ),
    "smtp-auth-prompts": (
        "smtp",
        peers.scripted(b"220 x\r\n", {**EHLO, b"AUTH": b"334 \r\n"}),
        Result.FAIL,
    ),
    "smtp-tls-first": (
        "smtp",
        peers.scripted(
            b"220-x\r\n220 y\r\n", {**EHLO, b"AUTH": b"530 5.7.0 Must issue STARTTLS first\r\n"}
        ),
        Result.PASS,
    ),
    "smtp-no-auth": (
        "smtp",
        peers.scripted(b"220 x\r\n", {**EHLO, b"AUTH": b"503 5.5.1 no AUTH here\r\n"}),
        Result.PASS,
    ),
    "smtp-later": (
        "smtp",
        peers.scripted(b"220 x\r\n", {**EHLO, b"AUTH": b"454 later\r\n"}),
        Result.UNKNOWN,
    ),
    "smtp-another-mechanism": (
        "smtp",
        peers.scripted(
            b"220 x\r\n", {**EHLO, b"AUTH LOGIN": b"334 \r\n", b"AUTH": b"504 unknown\r\n"}
        ),
        Result.FAIL,
    ),
    "smtp-a-token": (
        "smtp",
        peers.scripted(
            b"220 x\r\n",
            {
                b"EHLO": b"250-x\r\n250 AUTH XOAUTH2\r\n",
                b"AUTH XOAUTH2": b"334 \r\n",
                b"AUTH": b"504 unknown\r\n",
            },
        ),
        Result.FAIL,
    ),
    "managesieve-plain-challenged": (
        "managesieve",
        peers.scripted(SIEVE, {b"AUTH": b'""\r\n', b"*": b"OK\r\n"}),
        Result.FAIL,
    ),
    "managesieve-plain-disabled": (
        "managesieve",
        peers.scripted(SIEVE, {b"AUTH": b'NO "Plaintext authentication disabled."\r\n'}),
        Result.PASS,
    ),
}


def claim(kind: ClaimKind, endpoint: Endpoint, **expected: str) -> Claim:
    return Claim(kind, endpoint, Vantage.SELF, {"name": "", "authority": "", **expected})


def looked(made: Claim, **changed: str) -> tuple[Result, str]:
    """What the script says."""
    values = {
        "kind": made.kind.value,
        "address": made.endpoint.address,
        "port": str(made.endpoint.port),
        **made.expected,
        **changed,
    }
    told = {"XCCDF_VALUE_" + key: value for key, value in values.items()}
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env={"HOME": os.environ.get("HOME", "/"), **told},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode in CODES, done.stdout + done.stderr
    assert all(line.isprintable() for line in done.stdout.splitlines()), done.stdout
    assert len(done.stdout) < 400
    assert done.stderr == ""
    return CODES[done.returncode], done.stdout


def no_file(path: str) -> bytes:
    raise FileNotFoundError(path)


def proven(made: Claim) -> Result:
    (proof,) = prover({Vantage.SELF: blocking.observe}, no_file, None)([made])
    return proof.result


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "peer", "expected"), REFUSALS.values(), ids=REFUSALS)
def test_a_login_in_cleartext_is_found(protocol: str, peer: peers.Peer, expected: Result) -> None:
    with peers.serving(peer) as endpoint:
        made = claim(ClaimKind.CLEARTEXT_REFUSED, endpoint, protocol=protocol)
        result, said = looked(made)
        assert result is expected, said
        assert {result, proven(made)} != {Result.PASS, Result.FAIL}, said


# -- what a no means -------------------------------------------------------------------------------

PATTERNS = {
    "PRIVACY": answers.PRIVACY,
    "UNAVAILABLE": answers.UNAVAILABLE,
    "TRANSIENT": answers.TRANSIENT,
    "POLICY": re.compile(pop2._POLICY.pattern.lower()),
}
WORDS = (
    "-ERR m2 NO BAD 530 534 4.7.0 454 [AUTH] [SYS/TEMP] PRIVACYREQUIRED Plaintext clear text "
    "cleartext authentication disallowed disabled not allowed permitted available supported "
    "STARTTLS TLS SSL (TLS/SSL) encryption secure required needed first only must issue use user "
    "unknown command mechanism method login logins failed: wrong, password; try again later too "
    "many busy under a layer on non-secure connections. mail.example tls.example server service"
).split()


def test_the_patterns_of_a_no_are_those_of_mailseal() -> None:
    lines = re.findall(r"(?m)^(%s)\+?='(.*)'$" % "|".join(PATTERNS), SCRIPT.read_text())
    for name, pattern in PATTERNS.items():
        mine = "".join(text for each, text in lines if each == name)
        assert mine == pattern.pattern.decode().replace("(?:", "(").replace(r"\A", "^")


def test_bash_finds_by_them_what_python_finds(tmp_path: Path) -> None:
    choose = random.Random(937)
    said = [" ".join(choose.choices(WORDS, k=choose.randint(1, 8))) for _ in range(3000)]
    (tmp_path / "said").write_text("".join(line + "\n" for line in said))
    (tmp_path / "patterns").write_text(
        "".join(
            line + "\n"
            for line in SCRIPT.read_text().splitlines()
            if re.match("(%s)[+]?=" % "|".join(PATTERNS), line)
        )
    )
    script = """
    . ./patterns
    shopt -s nocasematch
    while IFS= read -r line; do
        for pattern in "$PRIVACY" "$UNAVAILABLE" "$TRANSIENT" "$POLICY"; do
            if [[ $line =~ $pattern ]]; then printf 1; else printf 0; fi
        done
        echo
    done <said
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    for line, found in zip(said, done.stdout.splitlines(), strict=True):
        right = [re.search(each.pattern, line.encode(), re.I) for each in PATTERNS.values()]
        assert found == "".join(str(int(each is not None)) for each in right), line


@pytest.mark.parametrize("end", [b"", b" mail.example"])
def test_a_no_that_is_none_for_everybody_is_left_open(end: bytes) -> None:
    """Words of a policy, but of another meaning: a host's name, a user's."""
    said = b"-ERR user unknown or wrong password at tls.example" + end + b"\r\n"
    with peers.serving(peers.scripted(OK, {b"*": said})) as endpoint:
        made = claim(ClaimKind.CLEARTEXT_REFUSED, endpoint, protocol="pop3")
        assert (looked(made)[0], proven(made)) == (Result.UNKNOWN, Result.UNKNOWN)


def test_a_port_where_nobody_listens_passes_both_ways() -> None:
    with peers.closed() as endpoint:
        for kind in (ClaimKind.CLEARTEXT_REFUSED, ClaimKind.CLOSED):
            assert looked(claim(kind, endpoint, protocol="pop2"))[0] is Result.PASS
        made = claim(ClaimKind.SERVICE_IN_TLS, endpoint, protocol="pop2")
        assert looked(made)[0] is Result.FAIL


def test_an_open_port_is_not_closed_whatever_it_says() -> None:
    with peers.serving(peers.http) as endpoint:
        assert looked(claim(ClaimKind.CLOSED, endpoint))[0] is Result.FAIL


def test_a_hostile_server_reaches_no_reader() -> None:
    hostile = b"+ POP2 \x1b[2J\x1b]0;x\x07 \x00 $(id) `id` \xff ]]> end\r\n"
    with peers.serving(peers.scripted(hostile, {b"*": b"- Missing user\x1b[2J\r\n"})) as endpoint:
        made = claim(ClaimKind.CLEARTEXT_REFUSED, endpoint, protocol="pop2")
        result, said = looked(made)
    assert result is Result.FAIL
    assert "uid=" not in said


@pytest.mark.parametrize(
    ("key", "value"),
    [("address", "$(touch x)"), ("address", "127.0.0.1/1/2"), ("port", "1;id"), ("kind", "x")],
)
def test_values_are_never_run(key: str, value: str, tmp_path: Path) -> None:
    made = claim(ClaimKind.CLEARTEXT_REFUSED, Endpoint("127.0.0.1", 1), protocol="pop2")
    values = {"kind": made.kind.value, "address": "127.0.0.1", "port": "1", "protocol": "pop2"}
    told = {"XCCDF_VALUE_" + name: each for name, each in {**values, key: value}.items()}
    done = subprocess.run(
        ["bash", str(SCRIPT)], env=told, capture_output=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode in (103, 104), done.stdout
    assert not list(tmp_path.iterdir())


# -- inside TLS ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def leaf(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert(NAME)


def in_tls(leaf: trustme.LeafCert, inside: peers.Peer) -> peers.Peer:
    return peers.secured(server_context(leaf), inside)


@pytest.mark.parametrize(
    ("name", "trusted", "certificate", "expected"),
    [
        (NAME, "ca", "leaf", Result.PASS),
        (NAME, "ca", "/nothing", Result.PASS),
        ("other.example", "ca", "", Result.FAIL),
        (NAME, "other", "", Result.FAIL),
        (NAME, "ca", "other", Result.FAIL),
    ],
)
def test_the_service_inside_tls_with_its_certificate(
    authority: trustme.CA,
    leaf: trustme.LeafCert,
    tmp_path: Path,
    name: str,
    trusted: str,
    certificate: str,
    expected: Result,
) -> None:
    other = trustme.CA()
    for path, content in {
        "ca": authority.cert_pem,
        "leaf": leaf.cert_chain_pems[0],
        "other": other.cert_pem,
    }.items():
        content.write_to_path(tmp_path / path)
    with peers.serving(in_tls(leaf, peers.pop2)) as endpoint:
        made = claim(
            ClaimKind.SERVICE_IN_TLS,
            endpoint,
            protocol="pop2",
            name=name,
            authority=str(tmp_path / trusted),
            certificate=str(tmp_path / certificate) if certificate else "",
        )
        result, said = looked(made)
        assert result is expected, said
        refused = claim(ClaimKind.CLEARTEXT_REFUSED, endpoint, protocol="pop2")
        assert looked(refused)[0] is Result.PASS


def test_a_handshake_with_nobody_behind_it_is_no_service(leaf: trustme.LeafCert) -> None:
    with peers.serving(in_tls(leaf, peers.close)) as endpoint:
        made = claim(ClaimKind.SERVICE_IN_TLS, endpoint, protocol="pop2", pinned="yes")
        assert looked(made)[0] is Result.FAIL


@pytest.mark.slow
def test_tls_inside_the_session(authority: trustme.CA, leaf: trustme.LeafCert) -> None:
    context: ssl.SSLContext = server_context(leaf)
    server = peers.scripted(
        OK,
        {b"STLS": b"+OK begin\r\n", **NO_POP3, b"*": NO_PLAIN},
        b"STLS",
        context,
        {b"QUIT": b"+OK bye\r\n"},
    )
    with peers.serving(server) as endpoint:
        made = claim(ClaimKind.SERVICE_IN_TLS, endpoint, protocol="pop3", pinned="yes")
        result, said = looked(made)
        assert result is Result.PASS, said
        assert looked(made, pinned="")[0] is Result.FAIL
        assert looked(made, protocol="pop2")[0] is Result.FAIL


# -- on the host itself ----------------------------------------------------------------------------


def test_a_socket_that_others_may_open_is_no_guarded_one(tmp_path: Path) -> None:
    path = tmp_path / "backend"
    values = {"path": str(path), "group": grp.getgrgid(os.getgid()).gr_name}
    made = claim(ClaimKind.BACKEND_GUARDED, Endpoint("127.0.0.1", 109), **values)
    assert looked(made)[0] is Result.FAIL
    with socket.socket(socket.AF_UNIX) as backend:
        backend.bind(str(path))
        path.chmod(0o660)
        assert looked(made)[0] is (Result.PASS if os.getuid() == 0 else Result.FAIL)
        path.chmod(0o666)
        assert looked(made)[0] is Result.FAIL


def test_neighbours_that_went_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, peers.closed() as gone:
        port = there.getsockname()[1]
        where = Endpoint("127.0.0.1", 109)
        made = claim(ClaimKind.NEIGHBOURS_KEPT, where, listening=f"127.0.0.1:{port}")
        assert looked(made)[0] is Result.PASS
        result, said = looked(made, listening=f"127.0.0.1:{port} {gone}")
        assert result is Result.FAIL
        assert str(gone) in said


@pytest.mark.slow
def test_who_answers_only_the_eager_is_found() -> None:
    def eager(connection: socket.socket) -> None:
        for _ in peers.lines(connection):
            connection.sendall(b"- Missing user or password\r\n")

    with peers.serving(eager) as endpoint:
        made = claim(ClaimKind.CLEARTEXT_REFUSED, endpoint, protocol="pop2")
        result, said = looked(made)
        assert result is Result.FAIL, said


@pytest.mark.slow
def test_a_late_greeting_is_no_answer() -> None:
    def late(connection: socket.socket) -> None:
        time.sleep(4)
        peers.scripted(IMAP, NO_IMAP)(connection)

    with peers.serving(late) as endpoint:
        made = claim(ClaimKind.CLEARTEXT_REFUSED, endpoint, protocol="imap")
        result, said = looked(made)
        assert result is Result.PASS, said
