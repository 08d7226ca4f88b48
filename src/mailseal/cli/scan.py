"""`mailseal scan`: the active look, from the command line.

Strategy: options become one `workflow.scan.Request`; results are written as they come, in one of
the forms of `report`. All that costs time to import is imported when it runs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from mailseal.cli import exits
from mailseal.cli.exits import Exit, Stop
from mailseal.cli.output import Progress, ReaderGone, opened, output_options, writer
from mailseal.cli.secret import password
from mailseal.model.finding import Severity
from mailseal.model.look import Vantage
from mailseal.report.forms import FORMS
from mailseal.report.result import Tally

if TYPE_CHECKING:
    from mailseal.workflow.scan import Request, Word

VANTAGES = ("remote", "veth", "self")


@click.command(
    "scan",
    epilog="""\b
Examples:
  mailseal scan mail.example                       every address of the name, port 109
  mailseal scan 192.0.2.0/24 --ports 109,110       a network
  mailseal scan -l hosts.txt --format ndjson       one JSON record a line, as they come
  mailseal scan -l hosts.txt --format sarif -o mailseal.sarif       for code scanning
  mailseal scan --user probe mail.example          log in with a test account; asks for its password
  mailseal scan --ca ca.pem --name mail.example '[2001:db8::7]:109'

The look sends no password and no name of a user, unless --prove or --user asks for it. Exit code 1
says that something is exposed, 3 that nothing is but something is undecided, 0 that all is clear.
""",
)
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("-l", "--list", "lists", multiple=True, metavar="FILE", help="Targets, one a line.")
@click.option(
    "--ports", default="109", show_default=True, metavar="N,N", help="Where none is named."
)
@click.option("--prove", is_flag=True, help="Try a login with a made-up user and password.")
@click.option("--user", metavar="NAME", help="Log in with this test account, in cleartext.")
@click.option(
    "--password-fd",
    type=click.IntRange(0),
    metavar="N",
    help="Read its password from this file descriptor. Else MAILSEAL_PASSWORD, else a prompt.",
)
@click.option(
    "--prove-remote",
    is_flag=True,
    help="Find out whether POP2 logs in to other hosts: listens on port 143 here, sends HELO.",
)
@click.option(
    "--intrusive",
    is_flag=True,
    help="Also send a harmless command behind STARTTLS in the same segment: is it run inside TLS?",
)
@click.option(
    "--tls-versions/--no-tls-versions",
    default=True,
    help="Ask for retired TLS versions where there is TLS.  [default: ask]",
)
@click.option("--ca", metavar="FILE", default="", help="Trust these CAs too (PEM).")
@click.option("--name", metavar="NAME", default="", help="What certificates must be for.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=8.0,
    show_default=True,
    metavar="SECONDS",
    help="Patience for each answer.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 65536),
    default=512,
    show_default=True,
    metavar="N",
    help="Connections at a time.",
)
@click.option(
    "--vantage",
    type=click.Choice(VANTAGES),
    help="What the look counts as. Default: self for this host's own addresses, else remote.",
)
@click.option("--site", default="default", show_default=True, help="Name of the network.")
@click.option(
    "--fail-on",
    type=click.Choice([severity.value for severity in Severity]),
    metavar="SEVERITY",
    help="Exit 1 for findings from info, low, medium, high or critical upwards, too.",
)
@output_options(*FORMS)
def command(
    form: str, output: str | None, overwrite: bool, fail_on: str | None, **options: Any
) -> Exit:
    """Look at services: who takes a password in cleartext?

    TARGET is a name, an address, host:port, [v6]:port, pop2://host:port or a.b.c.d/n; "-" reads
    targets from stdin.
    """
    from mailseal.workflow import BadInput
    from mailseal.workflow.scan import scan

    try:
        results = scan(_request(**options))
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    tally, progress = Tally(), Progress(time.monotonic)
    severity = Severity(fail_on) if fail_on else None
    code = Exit.CLEAN
    with contextlib.closing(results), opened(output, overwrite) as out:
        try:
            lines = writer(form, out, severity)
            progress.show("looking")
            for result in results:
                tally.add(result)
                progress.clear()
                lines.add(result)
                progress.show(f"{tally.total} looked at")
            progress.clear()
            code = exits.of_scan(tally, severity)
            lines.end(tally, code)
        except ReaderGone:
            # Not all was looked at, and nobody read all there was.
            code = exits.of_scan(tally, severity) or Exit.INCONCLUSIVE
        finally:
            progress.clear()
    return code


def _request(
    *,
    targets: tuple[str, ...],
    lists: tuple[str, ...],
    ports: str,
    prove: bool,
    user: str | None,
    password_fd: int | None,
    prove_remote: bool,
    intrusive: bool,
    tls_versions: bool,
    ca: str,
    name: str,
    timeout: float,
    concurrency: int,
    vantage: str | None,
    site: str,
) -> Request:
    """The options as the workflow wants them; files are read, and the password asked for, here."""
    from mailseal.workflow.scan import Request, credentials, ports_of

    if password_fd is not None and user is None:
        raise Stop(Exit.USAGE, "--password-fd goes with --user NAME")
    return Request(
        words=(*_words(targets), *(word for path in lists for word in _file(path))),
        ports=ports_of(ports),
        login=None if user is None else credentials(user, password(user, password_fd)),
        throwaway=prove,
        remote_login=prove_remote,
        intrusive=intrusive,
        versions=tls_versions,
        authority=ca,
        name=name,
        timeout=timeout,
        concurrency=concurrency,
        vantage=None if vantage is None else Vantage(vantage),
        site=site,
    )


def _words(targets: tuple[str, ...]) -> Iterator[Word]:
    from mailseal.workflow.scan import Word

    for target in targets:
        if target == "-":
            yield from _file("-")
        else:
            yield Word(target)


def _file(path: str) -> tuple[Word, ...]:
    """The targets of a file, or of stdin for `-`. Raises Stop."""
    from mailseal.workflow.scan import words_of

    try:
        # Descriptor 0 rather than sys.stdin: that one is missing where a caller closed it.
        source: str | int = 0 if path == "-" else path
        with open(source, encoding="utf-8", errors="replace", closefd=path != "-") as stream:
            return words_of(stream.read().splitlines(), "stdin" if path == "-" else path)
    except OSError as error:
        words = f"the list {path} cannot be read: {error.strerror}"
        raise Stop(Exit.USAGE, words) from None
