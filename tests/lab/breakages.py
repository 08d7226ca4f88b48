"""Every line of `mailseal verify`, and how one administrator or another breaks it on a sealed host.

Strategy: a breakage is data. What is broken is the one thing; what cannot be well without it is
named with the reason, and nothing else may fail. The shell commands run as root on the mail host,
or on the host that looks, where the name service is broken. `DESK` stands for that host's address.
"""

from __future__ import annotations

from typing import NamedTuple

from mailseal.model.plan import ClaimKind as Line
from mailseal.model.plan import Result
from tests.lab.story import NAME

FAIL, UNKNOWN = Result.FAIL, Result.UNKNOWN
HOST = ("--on", "ssh://mailhost")


class Follows(NamedTuple):
    """Lines that are not well either, and why they cannot be; `named` is what many are called."""

    lines: tuple[Line, ...]
    result: Result
    why: str
    named: str = ""


class Breakage(NamedTuple):
    """`service` is verified with `options` besides its own; `act` says in words what `breaks` does,
    and `mends` takes it back.
    """

    line: Line
    service: str
    act: str
    breaks: str
    mends: str
    options: tuple[str, ...] = ()
    result: Result = FAIL
    follows: tuple[Follows, ...] = ()
    where: str = "mail"

    @property
    def expected(self) -> dict[Line, Result]:
        """What is not a pass, where this is broken."""
        more = {line: each.result for each in self.follows for line in each.lines}
        return {self.line: self.result, **more}

    @property
    def row(self) -> str:
        """Of the table in the docs."""
        told = "; ".join(
            "%s (%s): %s" % (each.named or _listed(each.lines), each.result.value, each.why)
            for each in self.follows
        )
        cells = (_listed((self.line,)), self.act, self.result.value, told or "-")
        return "| %s |" % " | ".join(cells)


def _listed(lines: tuple[Line, ...]) -> str:
    return ", ".join(f"`{line.value}`" for line in lines)


# -- what follows from what ------------------------------------------------------------------------

_INSIDE = (
    Line.TLS_VERSIONS,
    Line.TLS_CIPHERS,
    Line.CERTIFICATE_CHAIN,
    Line.CERTIFICATE_NAME,
    Line.CERTIFICATE_DATES,
    Line.CERTIFICATE_KEY,
    Line.BACKEND_ANSWERS,
    Line.LOGIN_REJECTED,
    Line.LOGIN_WORKS,
    Line.INJECTION_IGNORED,
)
_NOT_USED = Follows((Line.LOGIN_WORKS,), FAIL, "the password is used in verified TLS alone")
_STOPPED = Follows((Line.CERTIFICATE_CHAIN,), UNKNOWN, "OpenSSL stops at the first fault")
_DEAD = (Line.LOGIN_REJECTED, Line.LOGIN_WORKS)
_NO_TLS = Follows(
    (*_INSIDE, Line.CERTIFICATE_PLANNED),
    FAIL,
    "there is no TLS to look into",
    "every line about what is inside TLS",
)
_LISTED = Follows((Line.SCANNER_CLOSES,), FAIL, "the scanner reads the same list")
_NO_LOOK = Follows(
    (
        Line.TLS_ALONE,
        Line.CLEARTEXT_REFUSED,
        *_INSIDE,
        Line.SCANNER_CLOSES,
        Line.CLOSED,
    ),
    UNKNOWN,
    "there was no look at it",
    "every line of that address",
)

# -- the wrapped POP2 service ----------------------------------------------------------------------

ISSUE = b"""#!/bin/sh
# issue NAME KEY CA DAYS: another certificate, and its key, where stunnel has its own
set -e
cd /srv
printf 'subjectAltName = DNS:%s\\n' "$1" >extensions
openssl req -new -nodes -newkey "$2" -keyout new.key -out new.csr -subj '/O=mail service'
openssl x509 -req -in new.csr -CA "$3.crt" -CAkey "$3.key" -set_serial 7 -days "$4" \\
    -extfile extensions -out new.crt
cat new.crt >/etc/mailseal/109.crt
cat new.key >/etc/mailseal/109.key
"""
_AGAIN = "systemctl restart mailseal@109"
_STUNNEL = "cp -a /srv/kept/. /etc/mailseal/ && " + _AGAIN
_BACKEND = "mailseal-backend-109.socket"
_DROPIN = f"/etc/systemd/system/{_BACKEND}.d"
_AFTER = Follows((Line.BACKEND_ANSWERS, *_DEAD), FAIL, "what the reload left is what is looked at")


def _issued(
    name: str = NAME, key: str = "rsa:2048", ca: str = "/etc/mailseal/ca", days: int = 90
) -> str:
    return f"/srv/issue {name} {key} {ca} {days}"


def _configured(*lines: str) -> str:
    """stunnel with these lines before its first service."""
    return "sed -i '0,/^$/s//%s\\n/' /etc/mailseal/109.conf" % "\\n".join(lines)


WRAPPED = (
    Breakage(
        Line.ALL_ADDRESSES,
        "wrapped",
        "the name gets an AAAA record of a network that the looking host has no route to",
        f"echo '2001:db8:7::1 {NAME}' >>/etc/hosts",
        "sed -i /2001:db8:7::1/d /etc/hosts",
        result=UNKNOWN,
        follows=(_NO_LOOK,),
        where="desk",
    ),
    Breakage(
        Line.TLS_VERSIONS,
        "wrapped",
        "stunnel takes TLS 1.1 again, for an old client",
        "sed -i 's/^sslVersionMin.*/sslVersionMin = TLSv1.1\\nsecurityLevel = 0/'"
        f" /etc/mailseal/109.conf && {_AGAIN}",
        _STUNNEL,
    ),
    Breakage(
        Line.TLS_CIPHERS,
        "wrapped",
        "stunnel's `ciphers` becomes ALL, with the suites that do not encrypt",
        f"{_configured('securityLevel = 0', 'ciphers = ALL:eNULL:@SECLEVEL=0')} && {_AGAIN}",
        _STUNNEL,
    ),
    Breakage(
        Line.CERTIFICATE_CHAIN,
        "wrapped",
        "a certificate of a CA that clients do not have",
        f"{_issued(ca='/srv/other')} && {_AGAIN}",
        _STUNNEL,
        follows=(_NOT_USED,),
    ),
    Breakage(
        Line.CERTIFICATE_NAME,
        "wrapped",
        "a certificate for another name",
        f"{_issued(name='other.example')} && {_AGAIN}",
        _STUNNEL,
        follows=(_STOPPED, _NOT_USED),
    ),
    Breakage(
        Line.CERTIFICATE_DATES,
        "wrapped",
        "a certificate that ended yesterday",
        f"{_issued(days=-1)} && {_AGAIN}",
        _STUNNEL,
        follows=(_NOT_USED,),
    ),
    Breakage(
        Line.CERTIFICATE_KEY,
        "wrapped",
        "a certificate for an RSA key of 1024 bits, which stunnel is made to take",
        f"{_issued(key='rsa:1024')} && {_configured('securityLevel = 0')} && {_AGAIN}",
        _STUNNEL,
        follows=(_STOPPED, _NOT_USED),
    ),
    Breakage(
        Line.CERTIFICATE_PLANNED,
        "wrapped",
        "the certificate is renewed, and stunnel not reloaded",
        _issued(),
        _STUNNEL,
        HOST,
    ),
    Breakage(
        Line.BACKEND_ANSWERS,
        "wrapped",
        "the backend's socket unit is stopped; stunnel completes the handshake all the same",
        f"systemctl stop {_BACKEND}",
        f"systemctl start {_BACKEND}",
        follows=(Follows(_DEAD, FAIL, "nobody is there to answer a login"),),
    ),
    Breakage(
        Line.LOGIN_WORKS,
        "wrapped",
        "the account gets another password",
        "cp -a /etc/pop2d.users /srv/ && sed -i 's/:.*/:another/' /etc/pop2d.users",
        "cp -a /srv/pop2d.users /etc/",
    ),
    Breakage(
        Line.CLOSED,
        "wrapped",
        "a cleartext listener is opened at the backend's old port, on IPv6 alone",
        "systemd-run --unit=beside /usr/local/sbin/ipop2d --listen [::]:10109",
        "systemctl stop beside",
    ),
    Breakage(
        Line.WIRE_UNREADABLE,
        "wrapped",
        "the mailboxes move to another host, and stunnel goes on to it in cleartext",
        f"sed -i 's/^connect = .*/connect = DESK:2109/' /etc/mailseal/109.conf && {_AGAIN}",
        _STUNNEL,
    ),
    Breakage(
        Line.ENABLED_AT_BOOT,
        "wrapped",
        "the backend's socket unit is disabled",
        f"systemctl disable {_BACKEND}",
        f"systemctl add-wants sockets.target {_BACKEND}",
        HOST,
    ),
    Breakage(
        Line.ENABLED_AT_BOOT,
        "wrapped",
        "a package enters the server in inetd.conf again; inetd has the port after the next boot",
        "cp -a /etc/inetd.conf /srv/ && update-inetd --group MAIL --add"
        r" '109\tstream\ttcp\tnowait\troot\t/usr/local/sbin/ipop2d\tipop2d'",
        "cp -a /srv/inetd.conf /etc/ && systemctl restart inetd",
        HOST,
    ),
    Breakage(
        Line.LIMITS_FIT,
        "wrapped",
        "a drop-in lets each client have four connections, and behind stunnel all are one",
        f"mkdir {_DROPIN} && printf '[Socket]\\nMaxConnectionsPerSource=4\\n' >{_DROPIN}/few.conf"
        " && systemctl daemon-reload",
        f"rm -r {_DROPIN} && systemctl daemon-reload",
        HOST,
    ),
    Breakage(
        Line.RELOAD_SURVIVED,
        "wrapped",
        "the backend's socket is mistyped in stunnel's configuration, which is not reloaded yet",
        "sed -i 's,^connect = .*,connect = /run/mailseal-190.sock,' /etc/mailseal/109.conf",
        _STUNNEL,
        (*HOST, "--reload"),
        follows=(_AFTER,),
    ),
    Breakage(
        Line.RELOAD_SURVIVED,
        "wrapped",
        "`protocol = pop2`, which stunnel does not know: it goes on as before, and would not start",
        "echo 'protocol = pop2' >>/etc/mailseal/109.conf",
        _STUNNEL,
        (*HOST, "--reload"),
        result=UNKNOWN,
    ),
)

# -- POP2 in stage offer, beside it ----------------------------------------------------------------

INETD = b"""\
2109 stream tcp nowait root /usr/local/sbin/ipop2d ipop2d --bad-login-delay 0
2109 stream tcp6 nowait root /usr/local/sbin/ipop2d ipop2d --bad-login-delay 0
"""
OFFERED = (
    Breakage(
        Line.CLEARTEXT_SERVED,
        "offered",
        "the service is bound to loopback while its cleartext clients were promised that it stays",
        "sed -i -e 's/^2109 stream tcp /127.0.0.1:&/' -e 's/^2109 stream tcp6/[::1]:&/'"
        " /etc/inetd.conf && systemctl restart inetd",
        "sed -i 's/^.*:2109/2109/' /etc/inetd.conf && systemctl restart inetd",
    ),
)

# -- the SMTP service that Exim enforces itself ----------------------------------------------------

_EXIM = "/etc/exim4/exim4.conf"
_ADVERTISED = "-e 's/^auth_advertise_hosts.*/auth_advertise_hosts = */'"
_DENIED = r"-e 's/^begin acl/acl_smtp_auth = inside\n&\ninside:\n  accept encrypted = */'"
_RESTARTED = "systemctl restart exim4"
_RESTORED = f"cp -a /srv/exim4.conf {_EXIM} && {_RESTARTED}"


def _edited(*edits: str) -> str:
    return f"sed -i {' '.join(edits)} {_EXIM} && {_RESTARTED}"


NATIVE = (
    Breakage(
        Line.TLS_ALONE,
        "native",
        "Exim no longer advertises STARTTLS",
        _edited("-e 's/^tls_advertise_hosts.*/tls_advertise_hosts =/'"),
        _RESTORED,
        follows=(_NO_TLS,),
    ),
    Breakage(
        Line.CLEARTEXT_REFUSED,
        "native",
        "Exim advertises AUTH before TLS again",
        _edited(_ADVERTISED),
        _RESTORED,
        follows=(_LISTED,),
    ),
    Breakage(
        Line.SCANNER_CLOSES,
        "native",
        "Exim advertises AUTH before TLS, and its ACL refuses it there",
        _edited(_ADVERTISED, _DENIED),
        _RESTORED,
    ),
    Breakage(
        Line.LOGIN_REJECTED,
        "native",
        "an authenticator's `server_condition` is left at yes",
        _edited("-e 's/^  server_condition = .*/  server_condition = yes/'"),
        _RESTORED,
    ),
    Breakage(
        Line.RELAY_REFUSED,
        "native",
        "the ACL for recipients accepts without a login",
        _edited("-e 's/^  accept authenticated.*/  accept/'"),
        _RESTORED,
    ),
    Breakage(
        Line.INJECTION_IGNORED,
        "native",
        "a proxy with the fault of CVE-2011-0411 is put in front of Exim",
        _edited("-e 's/ 587 :/ /' -e 's/: 587//'")
        + " && systemd-run --unit=proxy /usr/local/sbin/oldproxy /etc/ssl/mail.pem"
        " /etc/ssl/mail.key",
        "systemctl stop proxy && " + _RESTORED,
    ),
)

TABLE = (*WRAPPED, *OFFERED, *NATIVE)
"""One breakage for each line, or more."""
NO_LINES = frozenset({Line.SERVICE_IN_TLS, Line.BACKEND_GUARDED, Line.NEIGHBOURS_KEPT})
"""What a plan promises and verify does not print: it has lines of its own for the first; the others
are proven by the run on the mail host.
"""
