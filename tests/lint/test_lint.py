"""House rule 5 for every rule of `lint` (one file, id, fixture pair and page), and its laws."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given

from mailseal.configs import stunnel
from mailseal.lint import BY_ID, RULES, lint, named, repaired
from mailseal.lint.base import Answer, Named, Rule, There
from mailseal.lint.kinds import kind_of
from mailseal.lint.stunnel_global_in_service import GLOBAL
from tests.certs import make
from tests.configs.common import files
from tests.configs.test_stunnel import listeners_of_stunnel, real
from tests.project.tree import PACKAGE, ROOT

HERE = Path(__file__).parent
PATHS = {
    "stunnel": "stunnel.conf",
    "inetd": "inetd.conf",
    "xinetd": "xinetd.d/mail",
    "socket": "mail.socket",
    "dovecot": "dovecot.conf",
    "postfix": "master.cf",
    "postfix-main": "main.cf",
    "service": "mail.service",
    "cyrus": "imapd.conf",
    "cyrus-services": "cyrus.conf",
    "courier": "courier/imapd-ssl",
    "exim": "exim4.conf.localmacros",
    "stunnel-default": "default/stunnel4",
    "yaml": "compose.yaml",
    "dockerfile": "Dockerfile",
}
ids = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
kinds = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def path_of(rule: Rule) -> str:
    return PATHS[rule.kind.removesuffix("-here")]


def there(rule: Rule, which: str) -> There | None:
    """What is on the host, for rules that ask for that."""
    if not rule.kind.endswith("-here"):
        return None
    facts = json.loads((HERE / rule.id / f"{which}.there.json").read_text())
    paths = {path: Named(**fact) if fact else None for path, fact in facts.get("paths", {}).items()}
    answers = {value: Answer(**fact) for value, fact in facts.get("answers", {}).items()}
    return There(paths, answers)


def fixture(rule: Rule, which: str) -> bytes:
    name = path_of(rule).rpartition("/")[2]
    return (HERE / rule.id / f"{which}.{name}").read_bytes()


def fixtures(rule: Rule) -> list[str]:
    """What there is beside `good` and `bad`, and these."""
    name = path_of(rule).rpartition("/")[2]
    return sorted(path.name.partition(".")[0] for path in (HERE / rule.id).glob(f"*.{name}"))


def stops(rule: Rule, which: str) -> bool:
    """Whether `lint` says that the program does not start with a fixture."""
    found = lint(path_of(rule), fixture(rule, which), there(rule, which))
    return any(fault.stops for fault in found.faults)


def broken(path: str, data: bytes) -> list[str]:
    return [fault.rule for fault in lint(path, data).faults]


SHARED = {
    "--init--", "base", "catalogue", "included", "kinds", "mail", "postfix-services", "sections",
    "templates", "traced",
}  # fmt: skip
"""What the rules stand on."""


def test_every_file_is_a_rule_and_every_id_is_its_file():
    files = {path.stem.replace("_", "-") for path in (PACKAGE / "lint").glob("*.py")}
    assert files - SHARED == set(BY_ID)
    assert [rule for rule, count in Counter(rule.id for rule in RULES).items() if count > 1] == []


@ids
def test_the_bad_fixture_breaks_the_rule_and_the_good_one_breaks_none(rule):
    bad = lint(path_of(rule), fixture(rule, "bad"), there(rule, "bad"))
    assert rule.id in [fault.rule for fault in bad.faults]
    for fault in bad.faults:
        assert fault.said
        assert fault.line > 0
        assert fault.column > 0
    good = lint(path_of(rule), fixture(rule, "good"), there(rule, "good"))
    assert (good.faults, good.unread) == ((), "")


@ids
def test_the_page_says_the_same_as_the_rule_and_shows_its_fixtures(rule):
    page = (ROOT / rule.page).read_text()
    assert page.startswith(f"# {rule.id}: {rule.title}\n")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings == ["Why", "Before", "After", "How to fix"]
    words = " ".join(page.split())
    assert rule.why in words
    assert rule.fix in words
    for which in ("bad", "good"):
        shown = "".join(
            f"    {line}".rstrip() + "\n" for line in fixture(rule, which).decode().splitlines()
        )
        assert shown in page, which


@ids
def test_a_fix_takes_the_fault_away_and_a_second_run_finds_nothing_more_to_fix(rule):
    path, data = path_of(rule), fixture(rule, "bad")
    after = repaired(path, data)
    assert not any(fault.fixable for fault in lint(path, after).faults)
    fixable = {fault.rule for fault in lint(path, data).faults if fault.fixable}
    assert fixable.isdisjoint(broken(path, after))
    assert (after != data) == bool(fixable)


@kinds
@given(files)
def test_no_file_is_too_hostile(path, data):
    names = named(path, data)
    lint(
        path, data, There(dict.fromkeys(names.paths), dict.fromkeys(names.connects, Answer(False)))
    )
    after = repaired(path, data)
    assert not any(fault.fixable for fault in lint(path, after).faults)
    assert repaired(path, after) == after


GUIDE = b"""\
client = yes
[pop2]
accept  = 110
connect = localhost:995
options = PROTOCOL = pop2
"""


def test_every_fault_of_the_published_guide_is_named():
    found = lint("/etc/stunnel/pop2.conf", GUIDE)
    assert {(fault.line, fault.rule) for fault in found.faults} == {
        (1, "stunnel-client-global"),
        (2, "stunnel-client-unchecked"),
        (2, "stunnel-foreground"),
        (2, "stunnel-no-certificate"),
        (3, "stunnel-client-open"),
        (3, "stunnel-wrong-port"),
        (4, "stunnel-wrong-port"),
        (5, "stunnel-unknown-tls-option"),
    }


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("[a]\naccept = 109\n", 1),
        ("[a]\r\naccept = 109\r\n", 0),
        ("output = stunnel.log\ncert = C:\\x\\109.crt\n[a]\n", 0),
        ("cert = c:/x/109.crt\n[a]\n", 0),
        ("taskbar = no\n[a]\n", 0),
        ("[a]\nconnect = c:109\n", 1),
    ],
)
def test_on_windows_no_unit_is_left(text, count):
    assert broken("stunnel.conf", text.encode()).count("stunnel-foreground") == count


def test_what_is_meant_otherwise_starts_all_the_same():
    found = lint("stunnel.conf", GUIDE)
    assert [fault.rule for fault in found.faults if fault.stops] == ["stunnel-unknown-tls-option"]


def test_what_keeps_a_cleartext_listener_from_starting_is_not_fixed():
    assert repaired("stunnel.conf", GUIDE) == GUIDE
    sealed = GUIDE.replace(b"client = yes\n", b"").replace(b"110", b"109")
    assert b"options" not in repaired("stunnel.conf", sealed)


def test_comments_and_order_stay():
    head = b"; mine\r\nforeground = yes\r\n[pop2] \r\n  accept = ::1:109\r\n"
    before = head + b"  debug = 7 ; much\r\n; end"
    after = head + b"; much\r\n  debug = 5\r\n; end"
    assert repaired("stunnel.conf", before) == after


def test_every_option_that_stands_too_low_is_moved():
    low = sorted(GLOBAL - {"compression"})
    text = "".join(f"[{key}]\n{key} = x\n" for key in low) + "[a]\ndebug = 7 ; x\n"
    after = repaired("stunnel.conf", text.encode())
    assert not any(fault.fixable for fault in lint("stunnel.conf", after).faults)
    assert {option.key.text for option in stunnel.parse(after).globals} == set(low)


def test_of_too_many_services_the_rest_is_not_clean():
    data = b"foreground = yes\n" + b"[a]\naccept = ::1:109\nconnect = /x\ncert = /c\n" * 201
    assert lint("stunnel.conf", data).unread == "line 802: more than 200 services"


def test_two_sections_with_the_same_global_option_become_one():
    before = b"[a]\nforeground = yes\n[b]\nforeground = yes\n"
    assert repaired("stunnel.conf", before) == b"foreground = yes\n[a]\n[b]\n"


WRAP = """\
foreground = yes
[pop2]
accept = {accept}
connect = {connect}
{more}
"""


@pytest.mark.parametrize(
    ("accept", "connect", "more", "rules"),
    [
        ("192.0.2.1:109", "/run/x", "cert = /c", []),
        ("192.0.2.1:109", "127.0.0.1:109", "cert = /c", []),
        ("192.0.2.1:109", "198.51.100.7:10109", "cert = /c", []),
        ("192.0.2.1:109", "10109", "cert = /c", ["backend-port"]),
        ("192.0.2.1:109", "::1:10109", "cert = /c", ["backend-port"]),
        ("192.0.2.1:1109", "/x", "PSKsecrets = /p\nciphers = PSK", []),
        (":::109", "/x", "cert = /c", []),
        ("109", "/x", "cert = /c", ["accept-port-only"]),
        ("/run/s", "m.example:995", "client = yes\nverifyPeer = yes\nCAfile = /c", ["wrong-port"]),
        ("::1:109", "m.example:109", "client = yes\nverify = 3\nCAfile = /c", ["obsolete"]),
        ("::1:109", "m.example:109", "client = yes\nverifyChain = yes", ["client-unchecked"]),
        ("0.0.0.0:109", "m.example:109", "client = yes\nverifyChain = yes\ncheckHost = m.example",
         ["client-open"]),
        ("0.0.0.0:109", "m.example:109", "client = yes\nverify = 1",
         ["client-open", "client-unchecked", "no-certificate", "obsolete"]),
        ("::1:109", "m.example:109", "client = YES\nverifyPeer = no", ["client-unchecked"]),
        ("localhost:109", "x:109", "client = yes\nverifyChain = yes\ncheckIP = ::1", []),
        ("192.0.2.1:109", "/x", "cert = /c\nsetuid = root", []),
        ("192.0.2.1:1109", "/x", "cert = /c\nsetuid = mail", []),
        ("/run/s", "/x", "cert = /c\nsetuid = mail", []),
        ("::1:109", "/x", "cert = /c\nsslVersionMax = TLSv1.2\noptions = NO_TLSv1_3", []),
        ("::1:109", "/x", "cert = /c\nsslVersionMin = TLSv1.3\noptions = NO_TLSv1_3",
         ["no-tls-version"]),
        ("::1:109", "/x", "cert = /c\nsslVersion = tlsv1.2\noptions = NO_TLSv1_2",
         ["no-tls-version"]),
        ("::1:109", "/x", "cert = /c\nsslVersion = TLSv1.2\noptions = NO_TLSv1_3", []),
        ("::1:109", "/x", "cert = /c\nsslVersion = TLSv1.2\nsslVersionMin = TLSv1.3",
         ["no-tls-version"]),
        ("::1:109", "/x", "cert = /c\nsslVersionMin = TLSv1.3\nsslVersion = TLSv1.2", []),
        ("::1:109", "/x", "cert = /c\nsslVersion = TLSv1", ["no-tls-version", "old-tls-version"]),
        ("::1:109", "/x", "cert = /c\nsslVersion = TLSv1\noptions = NO_TLSv1",
         ["no-tls-version", "old-tls-version"]),
        ("::1:109", "/x", "cert = /c\nsslVersionMax = TLSv1.1", ["no-tls-version"]),
        ("::1:109", "/x", "cert = /c\nsslVersionMax = TLSv1.1\nsecurityLevel = 2",
         ["no-tls-version"]),
        ("::1:109", "/x", "cert = /c\nsslVersionMax = TLSv1.1\nsecurityLevel = 0",
         ["security-level"]),
        ("::1:109", "/x", "cert = /c\nsslVersionMax = TLSv1.1\nciphers = ALL:@SECLEVEL=0",
         ["security-level"]),
        ("::1:109", "/x", "cert = /c\noptions = NO_TLSv1_2\noptions = NO_TLSv1_3",
         ["no-tls-version"]),
        ("::1:109", "/x", "cert = /c\nsslVersion = TLSv1.2\noptions = NO_TLSv1_2\n"
         "options = -NO_TLSv1_2", []),
        ("::1:109", "/x", "cert = /c\nsslVersion = all\noptions = NO_TLSv1_3", ["old-tls-version"]),
        ("::1:109", "/x", "cert = /c\nciphers = ALL:@SECLEVEL=1", ["security-level"]),
        ("::1:109", "/x", "cert = /c\nsecurityLevel = 2", []),
        ("::1:109", "/x", "cert = /c\noptions = -no_ticket\noptions = 0x4", []),
        ("::1:109", "/x", "cert = /c\nprotocol = proxy", []),
        ("::1:109", "/x", "cert = /c\nprotocol = nntp", ["unknown-protocol"]),
        ("::1:110", "/x", "cert = /c\n[pop3]\naccept = ::1:110\nconnect = /x\ncert = /c\n"
         "protocol = pop3", ["wrong-port"]),
        ("::1:109", "/x", "cert = /c\nexecArgs = x # y", []),
        ("::1:109", "127.0.0.1:25", "cert = /c", ["smtp-wrapped", "wrong-port"]),
        ("::1:109", "192.0.2.7:109", "cert = /c\ndebug = daemon.7", []),
        ("::1:465", "/x", "cert = /c\nexec = /usr/sbin/exim4\nexecArgs = exim4 -bs",
         ["smtp-wrapped", "wrong-port"]),
        ("::1:1465", "/x", "cert = /c\nexec = /usr/lib/sendmail\nexecArgs = sendmail -oi -bs",
         ["smtp-wrapped"]),
        ("::1:587", "/x", "cert = /c\nexec = /opt/smtpd",
         ["smtp-wrapped", "wrong-port"]),
        ("::1:109", "/x", "cert = /c\nexec = /usr/sbin/ipop2d\nexecArgs = ipop2d -bs", []),
    ],
)  # fmt: skip
def test_what_a_rule_of_stunnel_is_about_and_what_not(accept, connect, more, rules):
    data = WRAP.format(accept=accept, connect=connect, more=more).encode()
    assert sorted(broken("stunnel.conf", data)) == [f"stunnel-{rule}" for rule in rules]


@pytest.mark.parametrize(
    ("own", "other", "named"),
    [
        ("cert = /c\nkey = /k", "cert = /c", []),
        ("cert = /c\nkey = /both", "cert = /both", ["/both", "/both"]),
        ("cert = /both\nkey = /k", "cert = /c", []),
        ("cert = /both", "cert = /both\nkey = /k", ["/both"]),
        ("key = /c\ncert = /both", "", []),
    ],
)
def test_a_readable_key_is_asked_of_the_file_that_a_section_takes_it_from(own, other, named):
    text = f"foreground = yes\n[a]\naccept = ::1:109\n{own}\n[b]\naccept = ::1:110\n{other}\n"
    paths = {
        "/c": Named(0o644, 0),
        "/k": Named(0o600, 0, key=True),
        "/both": Named(0o644, 0, key=True),
    }
    faults = lint("stunnel.conf", text.encode(), There(paths)).faults
    readable = [fault.said for fault in faults if fault.rule == "stunnel-key-readable"]
    assert readable == [f"{path} has mode 0644" for path in named]


@pytest.mark.parametrize(
    ("lines", "connects"),
    [
        ("connect = 109", {"109": False}),
        ("connect = a.example:109\nconnect = /run/x", {"a.example:109": False, "/run/x": False}),
        ("connect = 127.0.0.1:109\nprotocol = proxy", {"127.0.0.1:109": True}),
        ("connect = 127.0.0.1:109\nprotocol = proxy\nclient = yes", {"127.0.0.1:109": False}),
        ("chroot = /x\n[a]\nconnect = /run/x\nconnect = ::1:109", {"::1:109": False}),
        ("connect = a:pop2\nconnect = {{ x }}:1\nconnect = a:0\nconnect =", {}),
    ],
)
def test_what_a_file_connects_to(lines, connects):
    assert named("stunnel.conf", lines.encode()).connects == connects


SETUID = "pid = /d/pid\noutput = /d/log\nsetuid = mail\n[a]\n"
ROOTS, ITS_OWN, FULL = Named(0o755, 0), Named(0o755, 8), Named(0o755, 0, read_only=True)


@pytest.mark.parametrize(
    ("text", "folder", "log", "said"),
    [
        (SETUID, ROOTS, None, ["/d", "/d"]),
        (SETUID, ROOTS, Named(0o640, 8), ["/d"]),
        (SETUID, ITS_OWN, None, []),
        (SETUID, Named(0o1777, 0), None, []),
        (SETUID, ITS_OWN, Named(0o640, 0), ["/d/log"]),
        (SETUID.replace("mail", "root"), ROOTS, None, []),
        ("output = /d/log\n[a]\n", FULL, None, ["/d"]),
        ("output = /d/log\n[a]\n", ROOTS, Named(0o640, 0), []),
    ],
)
def test_what_stunnel_writes_it_must_be_able_to_write(text, folder, log, said):
    here = There({"/d": folder, "/d/log": log})
    faults = lint("stunnel.conf", text.encode(), here).faults
    found = [fault for fault in faults if fault.rule == "stunnel-unwritable-file"]
    assert [fault.said.split()[-1] for fault in found] == said
    assert all(fault.stops for fault in found)


@pytest.mark.parametrize(
    ("more", "answer", "rules"),
    [
        ("", Answer(False), ["unresolved-connect"]),
        ("client = yes\n", Answer(False), ["unresolved-connect"]),
        ("", Answer(True), ["dead-backend"]),
        ("client = yes\n", Answer(True), []),
        ("", Answer(True, True), []),
        ("protocol = proxy\n", Answer(True, True, True), ["proxy-unexpected"]),
        ("protocol = proxy\n", Answer(True, True), []),
        ("", Answer(True, True, True), []),
    ],
)
def test_what_came_of_connecting(more, answer, rules):
    text = f"[a]\naccept = ::1:109\nconnect = b.example:109\n{more}"
    here = There(answers={"b.example:109": answer})
    asked = {rule.id for rule in RULES if rule.kind == "stunnel-here"}
    faults = lint("stunnel.conf", text.encode(), here).faults
    found = [fault.rule for fault in faults if fault.rule in asked]
    assert found == [f"stunnel-{rule}" for rule in rules]


@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("/etc/inetd.conf", b"", "inetd"),
        ("/etc/xinetd.d/pop3", b"", "xinetd"),
        ("/etc/xinetd.d/pop3.bak", b"", ""),
        ("a/pop2.socket", b"", "socket"),
        ("/etc/dovecot/conf.d/10-auth.conf", b"", "dovecot"),
        ("/etc/postfix/master.cf", b"", "postfix"),
        ("/etc/stunnel/x.conf", b"", "stunnel"),
        ("roles/mail/files/tls", b"[pop2]\naccept = 109\n", "stunnel"),
        ("x", b"\xef\xbb\xbf; x\r\n\r\n {# y #}\nsetuid = mail\n[a]\nconnect = /x\n", "stunnel"),
        ("stunnel.html", b"<?xml version='1.0'?>\n<pre>\n[pop2]\naccept = 109\n", ""),
        ("stunnel.md", b"# stunnel\n\nWrite:\n\n    [pop2]\n    accept = 109\n", ""),
        ("/etc/my.cnf", b"[client]\nport = 1\n", ""),
        ("notes.txt", b"accept = 1", ""),
        ("stunnel/templates/a.conf", b"[{{ name }}]\naccept = {{ port }}\n", "stunnel"),
        ("templates/main.cf.j2", b"", "postfix-main"),
        ("stunnel.conf", b"[x]\n<% if x %>\n", ""),
        ("playbook.yml", b"- hosts: <% x %>\n", "yaml"),
        ("docker/Dockerfile.pop2", b"", "dockerfile"),
    ],
)
def test_kinds_by_name_and_content(path, data, kind):
    assert kind_of(path, data) == kind


# ---- beside the real one -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A key and a certificate for it, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = x509.load_der_x509_certificate(make.certificate(key=key)).public_bytes(Encoding.PEM)
    path: Path = tmp_path_factory.mktemp("certificate") / "both.pem"
    path.write_bytes(private + public)
    path.chmod(0o600)
    return path


@real
def test_stunnel_does_not_start_without_the_folder_of_its_pid_file(tmp_path, certificate):
    text = f"debug = 7\nforeground = yes\npid = {tmp_path}/none/pid\n[x]\naccept = 127.0.0.1:0\n"
    text += f"connect = 127.0.0.1:1\ncert = {certificate}\n"
    assert listeners_of_stunnel(tmp_path, text.encode()) is None
    (tmp_path / "none").mkdir()
    assert listeners_of_stunnel(tmp_path, text.encode()) is not None


STUNNEL = [rule for rule in RULES if rule.kind == "stunnel"]
UNTRIED = {
    "stunnel-port-name": "whether it starts is up to /etc/services of the host",
    "stunnel-compression": "whether it starts is up to how OpenSSL was built",
    "stunnel-foreground": "the process that is started ends, and its daemon would be nobody's",
}
"""Rules whose bad file is not started here, and why."""


@real
@pytest.mark.parametrize(
    ("rule", "which"),
    [
        pytest.param(rule, which, id=f"{rule.id}-{which}")
        for rule in STUNNEL
        for which in fixtures(rule)
    ],
)
def test_stunnel_starts_or_does_not_as_lint_says(rule, which, tmp_path, certificate):
    if which == "bad" and rule.id in UNTRIED:
        pytest.skip(UNTRIED[rule.id])
    text = fixture(rule, which).decode()
    text = re.sub(r"/etc/mailseal/\w+\.(crt|key)", str(certificate), text)
    # What this machine has on a port, which users, and how much it logs, does not matter here.
    text = re.sub(r"(accept = (?:.*:)?)\d+", r"\g<1>0", text).replace("192.0.2.10:", "127.0.0.1:")
    text = text.replace("setuid = stunnel4", "setuid = nobody").replace("debug = 5", "debug = 7")
    # Client mode starts with a server that is not there; a name that is nowhere takes its time.
    text = text.replace("mail.example:109", "127.0.0.1:1")
    found = listeners_of_stunnel(tmp_path, b"debug = 7\npid =\n" + text.encode())
    assert (found is None) == stops(rule, which)
