"""Real mail programs that log in: curl, fetchmail, mpop, mutt, sieve-connect, swaks, and what is
typed by hand, in cleartext or through `openssl s_client`.

Strategy: a program is a function from a `Task` (to whom, as whom, how) to the `Errand` that makes
it do that and nothing else: settings that leave it no choice, the password in a file or on standard
input. `run` has many errands done side by side on the host that has the programs and gives what was
done, as `Truth`. That is what was asked for; the program's own word (status, what it shows) must
say the same, else LabError.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.hosts import Host
from lab.images import LabError
from lab.truth import Truth

_RUNNER = Path(__file__).with_name("errands.py")
_INSIDE = "/usr/local/lib/errands.py"
_SECONDS = 240.0
NAME = "client.example"
"""What programs call their host when they greet."""
SOFTWARE = "Minutes"
"""What is typed where a program would say its name (IMAP ID, RFC 2971)."""


@dataclass(frozen=True)
class Task:
    """One login. `how` is `clear`, `upgrade` (TLS after STARTTLS) or `implicit` (TLS from the first
    octet); `form` is one of those that the program knows for the mechanism (a literal instead of a
    quoted string, an initial response). `outcome` is what must come of it, one of `Truth` or
    `silent`: the program does not log in, for want of what it asks for. `certificate` is the
    server's (PEM), for who does not take it unseen. `message`: hand in a message (SMTP).
    """

    program: str
    protocol: str
    mechanism: str
    how: str
    address: str
    port: int
    user: str
    password: str
    outcome: str
    certificate: str
    form: str = ""
    message: bool = False

    @property
    def host(self) -> str:
        """The address as in a URL."""
        return f"[{self.address}]" if ":" in self.address else self.address


@dataclass(frozen=True)
class Errand:
    """What `lab.errands` runs."""

    argv: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    input: str = ""
    terminal: bool = False
    address: str = ""
    port: int = 0
    lines: Sequence[tuple[str, str]] = ()


def quoted(text: str) -> str:
    """As configuration files of programs and IMAP write it."""
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


def _settings(pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(f"{name} {value}\n" for name, value in pairs)


# -- programs --------------------------------------------------------------------------------------

_MESSAGE = "From: alice@mail.example\nTo: bob@mail.example\nSubject: Minutes\n\nNone today.\n"


def curl(task: Task) -> Errand:
    """`form`: `initial` sends an initial response where a mechanism has one. The commands of the
    protocols themselves it takes only where the server offers no mechanism.
    """
    scheme = task.protocol + ("s" if task.how == "implicit" else "")
    path = NAME if task.protocol == "smtp" else ""
    mechanism = {"APOP": "+APOP"}.get(task.mechanism, task.mechanism)
    options = [
        f'url = "{scheme}://{task.host}:{task.port}/{path}"',
        f"user = {quoted(f'{task.user}:{task.password}')}",
        "insecure",
        "silent",
        "show-error",
    ]
    if task.mechanism not in ("USER", "LOGIN command"):
        options.append(f'login-options = "AUTH={mechanism}"')
    options += ["ssl-reqd"] if task.how == "upgrade" else []
    options += ["sasl-ir"] if task.form == "initial" else []
    if task.protocol == "imap":
        options.append('request = "NOOP"')
    if task.protocol == "smtp":
        options += ['mail-from = "alice@mail.example"', 'mail-rcpt = "bob@mail.example"']
        options.append('upload-file = "message"')
    return Errand(["curl", "--config", "-"], {"message": _MESSAGE}, "\n".join(options))


def fetchmail(task: Task) -> Errand:
    """Only looks whether there is mail."""
    protocol = "apop" if task.mechanism == "APOP" else task.protocol
    mechanism = {"CRAM-MD5": "cram-md5"}.get(task.mechanism, "password")
    security = {"clear": "sslproto ''", "upgrade": "sslproto TLS1.2+", "implicit": "ssl"}
    settings = (
        f"poll '{task.address}' protocol {protocol} service {task.port} auth {mechanism}"
        f" user '{task.user}' password '{task.password}'"
        f" options {security[task.how]} no sslcertck\n"
    )
    argv = ["fetchmail", "--check", "--nosyslog", "--pidfile", "pid", "-v", "-f", "rc"]
    return Errand(argv, {"rc": settings})


def mpop(task: Task) -> Errand:
    """Only logs in."""
    settings = [
        ("account", "default"),
        ("host", task.address),
        ("port", str(task.port)),
        ("user", task.user),
        ("passwordeval", "cat secret"),
        ("auth", task.mechanism.lower()),
        ("tls", "off" if task.how == "clear" else "on"),
        ("tls_starttls", "on" if task.how == "upgrade" else "off"),
        ("delivery", "mda cat"),
    ]
    settings += [] if task.how == "clear" else [("tls_certcheck", "off")]
    files = {"rc": _settings(settings), "secret": task.password}
    return Errand(["mpop", "--file=rc", "--auth-only", "--debug"], files)


def mutt(task: Task) -> Errand:
    """Opens the mailbox and leaves, or sends a message."""
    family = {"pop3": "pop", "imap": "imap", "smtp": "smtp"}[task.protocol]
    url = f"{family}{'s' if task.how == 'implicit' else ''}://{task.user}@{task.host}:{task.port}/"
    mechanism = {"LOGIN command": "login", "USER": "user"}.get(task.mechanism, task.mechanism)
    settings = {
        f"{family}_pass": quoted(task.password),
        f"{family}_authenticators": mechanism.lower(),
        "ssl_starttls": "yes" if task.how == "upgrade" else "no",
        "ssl_force_tls": "no" if task.how == "clear" else "yes",
        "certificate_file": "trusted",
        "ssl_verify_host": "no",
        "sleep_time": "0",
        "quit": "yes",
        "copy": "no",
        "hostname": NAME,
        "from": "alice@mail.example",
        "folder": ".",
    }
    settings |= {"smtp_url": quoted(url)} if task.protocol == "smtp" else {}
    rc = "".join(f"set {name}={value}\n" for name, value in settings.items())
    files = {"rc": rc, "trusted": task.certificate}
    if task.protocol == "smtp":
        send = ["mutt", "-n", "-F", "rc", "-s", "Minutes", "bob@mail.example"]
        return Errand(send, files, "None today.\n")
    return Errand(["mutt", "-n", "-F", "rc", "-f", url, "-e", "push <quit>"], files, terminal=True)


def swaks(task: Task) -> Errand:
    """Only logs in, or hands in a message."""
    argv = ["swaks", "--server", task.address, "--port", str(task.port), "--ehlo", NAME]
    argv += ["--auth", task.mechanism, "--auth-user", task.user, "--auth-password", task.password]
    argv += {"clear": [], "upgrade": ["--tls"], "implicit": ["--tls-on-connect"]}[task.how]
    argv += ["--from", "alice@mail.example", "--to", "bob@mail.example"]
    return Errand(argv if task.message else [*argv, "--quit-after", "AUTH"])


def sieve_connect(task: Task) -> Errand:
    """Lists the scripts. It takes STARTTLS wherever it is offered, so it has no `clear`."""
    argv = ["sieve-connect", "--server", task.address, "--port", str(task.port)]
    argv += ["--nosslverify", "--user", task.user, "--authmech", task.mechanism]
    argv += ["--passwordfd", "0", "--list"]
    return Errand(argv, {}, task.password + "\n")


# -- typed by hand ---------------------------------------------------------------------------------


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _literal(text: str, plus: str = "") -> str:
    return "{%d%s}" % (len(text.encode()), plus)


def _pop2(task: Task, plain: str) -> list[tuple[str, str]]:
    return [(r"\+", f"HELO {task.user} {task.password}"), (r"(#)|-", "QUIT")]


def _pop3(task: Task, plain: str) -> list[tuple[str, str]]:
    done = (r"(\+OK)|-", "QUIT")
    begin, more = r"\+OK", r"(\+ )|-"
    match task.mechanism, task.form:
        case "USER", "":
            user = (begin, f"USER {task.user}")
            return [user, (r"(\+OK)|-", f"PASS {task.password}"), done]
        case "PLAIN", "initial":
            return [(begin, f"AUTH PLAIN {plain}"), done]
        case "PLAIN", "":
            return [(begin, "AUTH PLAIN"), (more, plain), done]
        case "LOGIN", "":
            words = (_b64(task.user), _b64(task.password))
            return [(begin, "AUTH LOGIN"), *((more, word) for word in words), done]
    raise _unknown(task)


def _imap(task: Task, plain: str) -> list[tuple[str, str]]:
    user, password = task.user, task.password
    done = (r"(a OK)|a |\* BYE", "z LOGOUT")
    begin, more = r"\* OK|a OK", r"(\+)|a "
    match task.mechanism, task.form:
        case "LOGIN command", "":
            return [(begin, f"a LOGIN {quoted(user)} {quoted(password)}"), done]
        case "LOGIN command", "ID":
            hello = [(begin, f'i ID ("name" "{SOFTWARE}" "version" "1.0")')]
            return [*hello, ("i ", f"a LOGIN {user} {quoted(password)}"), done]
        case "LOGIN command", "literal":
            lines = [(begin, f"a LOGIN {_literal(user)}"), (more, f"{user} {_literal(password)}")]
            return [*lines, (more, password), done]
        case "LOGIN command", "literal+":
            both = f"{_literal(user, '+')}\r\n{user} {_literal(password, '+')}\r\n{password}"
            return [(begin, f"a login {both}"), done]
        case "PLAIN", "":
            return [(begin, "a AUTHENTICATE PLAIN"), (more, plain), done]
        case "PLAIN", "initial":
            return [(begin, f"a AUTHENTICATE PLAIN {plain}"), done]
        case "LOGIN", "":
            words = (_b64(user), _b64(password))
            return [(begin, "a AUTHENTICATE LOGIN"), *((more, word) for word in words), done]
    raise _unknown(task)


def _smtp(task: Task, plain: str) -> list[tuple[str, str]]:
    hello = [("220 ", f"EHLO {NAME}")]
    begin, more = "250 ", "(334)|[45]"
    done = ("(235)|[45]", "QUIT")
    match task.mechanism, task.form:
        case "PLAIN", "":
            return [*hello, (begin, "AUTH PLAIN"), (more, plain), done]
        case "PLAIN", "initial":
            return [*hello, (begin, f"AUTH PLAIN {plain}"), done]
        case "LOGIN", "":
            words = (_b64(task.user), _b64(task.password))
            return [*hello, (begin, "AUTH LOGIN"), *((more, word) for word in words), done]
        case "LOGIN", "initial":
            rest = (more, _b64(task.password))
            return [*hello, (begin, f"AUTH LOGIN {_b64(task.user)}"), rest, done]
    raise _unknown(task)


def _managesieve(task: Task, plain: str) -> list[tuple[str, str]]:
    begin, more = "OK", r'("|\{)|NO|BYE'
    done = ("(OK)|NO|BYE", "LOGOUT")
    match task.mechanism, task.form:
        case "PLAIN", "":
            return [(begin, 'AUTHENTICATE "PLAIN"'), (more, quoted(plain)), done]
        case "PLAIN", "initial":
            return [(begin, f'AUTHENTICATE "PLAIN" "{plain}"'), done]
        case "PLAIN", "literal":
            return [(begin, f'Authenticate "PLAIN" {_literal(plain, "+")}\r\n{plain}'), done]
        case "LOGIN", "":
            words = (quoted(_b64(task.user)), quoted(_b64(task.password)))
            return [(begin, 'AUTHENTICATE "LOGIN"'), *((more, word) for word in words), done]
    raise _unknown(task)


def _unknown(task: Task) -> LabError:
    return LabError(f"{task.program} has no {task.mechanism} in the form {task.form!r}")


_TYPED = {"pop2": _pop2, "pop3": _pop3, "imap": _imap, "smtp": _smtp, "managesieve": _managesieve}
_STARTTLS = {"pop3": "pop3", "imap": "imap", "smtp": "smtp", "managesieve": "sieve"}


def typed(task: Task) -> Errand:
    """By somebody at a keyboard; TLS by `openssl s_client`."""
    lines = _TYPED[task.protocol](task, _b64(f"\0{task.user}\0{task.password}"))
    if task.how == "clear":
        return Errand(address=task.address, port=task.port, lines=lines)
    argv = ["openssl", "s_client", "-quiet", "-connect", f"{task.host}:{task.port}"]
    if task.how == "upgrade":
        argv += ["-starttls", _STARTTLS[task.protocol], "-name", NAME]
        if task.protocol != "managesieve":  # RFC 5804 section 2.2: greets once more
            lines = [("", lines[0][1]), *lines[1:]]
    return Errand(argv, lines=lines)


PROGRAMS: Mapping[str, Callable[[Task], Errand]] = {
    "curl": curl,
    "fetchmail": fetchmail,
    "mpop": mpop,
    "mutt": mutt,
    "sieve-connect": sieve_connect,
    "swaks": swaks,
    "typed": typed,
}


# -- what came of it -------------------------------------------------------------------------------

# Where a program's status does not tell: what it shows.
_SHOWN = re.compile("login failed|authentication failed", re.IGNORECASE)
_LET_IN: Mapping[str, tuple[int, ...]] = {"fetchmail": (0, 1)}  # fetchmail(1): 1 is "no mail"
_TURNED_AWAY: Mapping[str, int] = {
    "curl": 67,  # CURLE_LOGIN_DENIED
    "fetchmail": 3,  # PS_AUTHFAIL
    "mpop": 77,  # EX_NOPERM
    "mutt": 1,
    "sieve-connect": 255,
    "swaks": 28,
    "typed": 1,
}


def _accepted(task: Task, status: int, output: str) -> bool | None:
    """Whether the program says that it was let in; None where it says neither that nor that it was
    turned away.
    """
    if task.program == "mutt" and task.protocol != "smtp":
        return (
            True if "Mailbox is unchanged" in output else False if _SHOWN.search(output) else None
        )
    if status in _LET_IN.get(task.program, (0,)):
        return True
    return False if status == _TURNED_AWAY[task.program] else None


def run(host: Host, tasks: Sequence[Task]) -> list[Truth]:
    """Does them side by side on the host of the system `clients`; the logins, in their order.
    LabError where a program was let in that should not have been, or the other way round.
    """
    host.write(_INSIDE, _RUNNER.read_bytes())
    truths = []
    errands = [asdict(PROGRAMS[task.program](task)) for task in tasks]
    done = host.run(
        ["python3", "-I", _INSIDE], input=json.dumps(errands).encode(), timeout=_SECONDS
    )
    for task, (status, output) in zip(tasks, json.loads(done.stdout), strict=True):
        accepted = _accepted(task, status, output)
        if task.outcome == "silent" and not accepted:
            continue
        if accepted is not (task.outcome == "accepted"):
            raise LabError(f"{task}: not what came of it, status {status}:\n{output[-4000:]}")
        truths.append(_truth(task, host, output))
    return truths


def _truth(task: Task, host: Host, output: str) -> Truth:
    user: str | None = task.user
    if task.outcome == "refused" and task.program == "typed":  # perhaps before the user was named
        spellings = (task.user, _b64(task.user), _b64(f"\0{task.user}\0{task.password}"))
        if not any(spelling in output for spelling in spellings):
            user = None
    says = SOFTWARE if task.form == "ID" else NAME if task.protocol == "smtp" else ""
    return Truth(
        program=task.program,
        protocol=task.protocol,
        server=task.address,
        port=task.port,
        client=host.ipv6 if ":" in task.address else host.ipv4,
        user=user,
        mechanism=task.mechanism,
        channel="clear" if task.how == "clear" else "tls",
        outcome=task.outcome,
        says=says,
        message=task.message,
    )
