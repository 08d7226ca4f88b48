"""How a notice gets to a receiver: webhook, mail, syslog. One delivery each, and one time limit.

Strategy: each way is a function that answers with why it did not arrive ("" for: it did), and
`deliver` is the table of them. Peers may hang, drip or send without end: what is read is bounded,
and a `Deadline` ends the connection as a whole, whatever is being waited for on it. What a peer
says is not passed on but for its number. No redirection is followed and no proxy asked: the secret
is for the URL that was written. The secret is read from its file for each delivery, so that it can
be changed.
"""

from __future__ import annotations

import contextlib
import email.message
import email.policy
import email.utils
import http.client
import os
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO
from urllib.parse import urlsplit

from mailseal import __version__
from mailseal.model.finding import Severity
from mailseal.model.moment import seconds
from mailseal.model.watching import Event, Mail, Notice, Printed, Receiver, Syslog, Way, Webhook
from mailseal.report import records
from mailseal.system.base import Completed
from mailseal.watch.alerts import sentence

Run = Callable[[list[str], bytes, float], Completed]
"""Runs a program: words, input, seconds."""
Print = Callable[[Notice], None]

SECRET = 4096
"""Octets of a secret."""
REPLY = 1024
"""Octets of a line of a mail server's reply, of which there are at most 100."""
DATAGRAM = 2000
"""Octets of a line to syslog."""
_LEVELS = {
    Severity.CRITICAL: 2,
    Severity.HIGH: 3,
    Severity.MEDIUM: 4,
    Severity.LOW: 5,
    Severity.INFO: 6,
}
"""Of syslog (RFC 5424 6.2.1)."""
_NOTICE = 5


class _Refused(Exception):
    """The delivery did not come about. `str()` says why."""


class Deadline:
    """A time limit for all that is done over its sockets, for `with`; `over`: it was reached."""

    def __init__(self, limit: float) -> None:
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(limit, self._end)
        self._timer.daemon = True
        self.limit = limit
        self.over = False

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        self._timer.join()

    def hold(self, held: socket.socket) -> None:
        """Its connection ends with the time."""
        self._sockets.append(held)
        if self.over:
            self._end()

    def _end(self) -> None:
        self.over = True
        for held in self._sockets:
            with contextlib.suppress(OSError):
                # The connection's own shutdown, below TLS: another thread is inside that.
                socket.socket.shutdown(held, socket.SHUT_RDWR)


def deliver(receiver: Receiver, notice: Notice, run: Run, show: Print) -> str:
    """Delivers a notice; why it did not arrive, empty where it did. `run` is for sendmail, `show`
    prints. Takes little more than the receiver's limit, name resolution apart.
    """
    with Deadline(receiver.limit) as deadline:
        why = _delivered(receiver.way, notice, deadline, run, show)
    if deadline.over:
        # What was cut off may look like any other answer, a good one among them.
        return f"no answer within {receiver.limit:g} seconds"
    return why


def _delivered(way: Way, notice: Notice, deadline: Deadline, run: Run, show: Print) -> str:
    try:
        if isinstance(way, Webhook):
            _post(way, notice, deadline)
        elif isinstance(way, Mail):
            _send(way, notice, deadline, run)
        elif isinstance(way, Syslog):
            _log(way, notice, deadline)
        elif isinstance(way, Printed):
            show(notice)
    except TimeoutError:
        return f"no answer within {deadline.limit:g} seconds"
    except (_Refused, OSError, http.client.HTTPException, ValueError) as error:
        return _why(error)
    return ""


def _why(error: Exception) -> str:
    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason or 'it failed'}"
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(filter(None, (str(error.filename or ""), error.strerror)))
    return f"an answer that is none ({type(error).__name__})"


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    made = socket.create_connection((host, port), deadline.limit)
    deadline.hold(made)
    return made


def _encrypted(
    plain: socket.socket, host: str, authority: str, deadline: Deadline
) -> socket.socket:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authority:
        context.load_verify_locations(authority)
    made = context.wrap_socket(plain, server_hostname=host)
    deadline.hold(made)
    return made


# ---- webhook -----------------------------------------------------------------------------------


def _post(way: Webhook, notice: Notice, deadline: Deadline) -> None:
    url = urlsplit(way.url)
    host = url.hostname or ""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"mailseal/{__version__}",
        "Connection": "close",
    }
    if way.secret_file:
        headers[way.header] = _secret(way.secret_file)
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    connection = http.client.HTTPConnection(host, port)
    with contextlib.closing(connection):
        connection.sock = _connect(host, port, deadline)
        if secure:
            connection.sock = _encrypted(connection.sock, host, way.authority, deadline)
            # So that the Host header leaves the usual port out (RFC 9110 7.2).
            connection.default_port = 443
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("POST", path, records.line(notice).encode("ascii"), headers)
        status = connection.getresponse().status
    if not 200 <= status < 300:
        raise _Refused(f"it answered {status}")


def _secret(path: str) -> str:
    """The first line of a file that others cannot read."""
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_mode & stat.S_IROTH:
            raise _Refused(f"everybody can read the secret in {path}: make it chmod 600")
        line = stream.readline(SECRET).strip()
    if not line or not all(0x20 <= octet < 0x7F for octet in line):
        raise _Refused(f"the first line of {path} is no secret of printable ASCII")
    return line.decode("ascii")


# ---- mail --------------------------------------------------------------------------------------


def message(way: Mail, notice: Notice) -> bytes:
    """The notice as a message (RFC 5322), its lines ended by CR LF."""
    made = email.message.EmailMessage(policy=email.policy.SMTP)
    made["From"] = way.sender
    made["To"] = ", ".join(way.to)
    made["Subject"] = f"[mailseal] {notice.event.value}: {notice.rule} at {notice.where}"[:200]
    made["Date"] = email.utils.formatdate(seconds(notice.at))
    made["Message-ID"] = f"<{notice.id}@mailseal.invalid>"
    # What belongs together is shown together.
    made["References"] = f"<{notice.trouble}@mailseal.invalid>"
    # RFC 3834: nobody's vacation answers it.
    made["Auto-Submitted"] = "auto-generated"
    fields = {
        "what": notice.event.value,
        "rule": notice.rule,
        "where": notice.where,
        "severity": notice.severity.value,
        "seen": notice.text,
        "since": notice.since,
        "now": notice.at,
        "watched by": notice.host,
        "id": notice.trouble,
    }
    made.set_content("".join(f"{name:<11} {value}\n" for name, value in fields.items()))
    return made.as_bytes()


def _send(way: Mail, notice: Notice, deadline: Deadline, run: Run) -> None:
    text = message(way, notice)
    if way.smtp is None:
        # -i: a line of a dot alone is no end (sendmail(8)).
        words = [way.sendmail, "-i", "-f", way.sender, "--", *way.to]
        done = run(words, text.replace(b"\r\n", b"\n"), deadline.limit)
        if done.code:
            raise _Refused(f"{way.sendmail} exited {done.code}")
        return
    host, port = way.smtp
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(contextlib.closing(_connect(host, port, deadline)))
        reading = stack.enter_context(connection.makefile("rb"))
        _answer(reading, b"2")
        _greet(connection, reading)
        if way.starttls:
            _ask(connection, reading, b"STARTTLS")
            connection = _encrypted(connection, host, way.authority, deadline)
            stack.enter_context(contextlib.closing(connection))
            reading = stack.enter_context(connection.makefile("rb"))
            _greet(connection, reading)
        _ask(connection, reading, b"MAIL FROM:<%s>" % way.sender.encode("ascii"))
        for recipient in way.to:
            _ask(connection, reading, b"RCPT TO:<%s>" % recipient.encode("ascii"))
        _ask(connection, reading, b"DATA", b"3")
        _ask(connection, reading, text.replace(b"\r\n.", b"\r\n..") + b".")
        with contextlib.suppress(OSError, _Refused):
            # It has the message; how the session ends changes nothing.
            _ask(connection, reading, b"QUIT")


def _greet(connection: socket.socket, reading: BinaryIO) -> None:
    name = socket.gethostname().encode("ascii", "replace").replace(b"?", b"-")
    _ask(connection, reading, b"EHLO " + name)


def _ask(
    connection: socket.socket, reading: BinaryIO, command: bytes, wanted: bytes = b"2"
) -> None:
    connection.sendall(command + b"\r\n")
    _answer(reading, wanted)


def _answer(reading: BinaryIO, wanted: bytes) -> None:
    """A reply (RFC 5321 4.2) that begins with the wanted digit. Raises _Refused."""
    for line in _lines(reading):
        if line[3:4] != b"-":
            if not line[:3].isdigit():
                raise _Refused("the mail server's answer is none")
            if line[:1] != wanted:
                raise _Refused(f"the mail server answered {line[:3].decode('ascii')}")
            return
    raise _Refused("the mail server left in the middle of an answer")


def _lines(reading: BinaryIO) -> Iterator[bytes]:
    for _ in range(100):
        line = reading.readline(REPLY)
        if not line.endswith(b"\n"):
            return
        yield line


# ---- syslog ------------------------------------------------------------------------------------


def _log(way: Syslog, notice: Notice, deadline: Deadline) -> None:
    level = _NOTICE if notice.event is Event.RECOVERY else _LEVELS[notice.severity]
    head = f"<{way.facility * 8 + level}>mailseal[{os.getpid()}]: "
    line = (head + sentence(notice)).encode("utf-8", "backslashreplace")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.settimeout(deadline.limit)
        sending.connect(way.socket)
        # Cut between two letters: half a letter is none.
        sending.send(line[:DATAGRAM].decode("utf-8", "ignore").encode())
