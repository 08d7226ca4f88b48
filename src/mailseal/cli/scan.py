"""`mailseal scan`: the active look, from the command line.

Strategy: options become one `workflow.scan.Request`; results are written as they come, in one of
the forms of `report`. All that costs time to import is imported when it runs.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from mailseal.cli import exits
from mailseal.cli.exits import Exit, Stop
from mailseal.cli.lookoptions import SECONDS, scope_options, timeout_option
from mailseal.cli.output import (
    Output,
    Progress,
    ReaderGone,
    opened,
    output_options,
    taken_up,
    writer,
)
from mailseal.cli.secret import password
from mailseal.cli.storeoption import recording_options
from mailseal.model.finding import Severity, Verdict
from mailseal.model.look import Vantage
from mailseal.report.forms import FORMS
from mailseal.report.result import FailOn, Tally
from mailseal.report.style import harmless

if TYPE_CHECKING:
    from mailseal.workflow.scan import Request, Standing

VANTAGES = ("remote", "veth", "self")
MAIL_PORTS = "pop2,pop3,imap,smtp,submission,submissions,imaps,pop3s,sieve"
_RATE = click.FloatRange(0, 1e6)


@click.command(
    "scan",
    epilog="""\b
Examples:
  mailseal scan mail.example                       every address of the name, every mail port
  mailseal scan 192.0.2.0/24 --ports pop2,1100-1110 --exclude 192.0.2.1
  mailseal scan -l hosts.txt --format ndjson -o results.ndjson
  mailseal scan -l hosts.txt --format ndjson -o results.ndjson --resume
  mailseal scan -l hosts.txt --format sarif -o mailseal.sarif       for code scanning
  mailseal scan --srv --mx example.org --scope ours.txt
  mailseal scan --user probe pop2://mail.example   log in with a test account; asks for its password
  mailseal scan --ca ca.pem --name mail.example '[2001:db8::7]:109'

The look sends no password and no name of a user, unless --prove or --user asks for it. Exit code 1
says that something is exposed, 3 that nothing is but something is undecided, 0 that all is clear;
with --format nagios the codes are those of monitoring plugins: 0, 2 (exposed), 3 (could not tell).
""",
)
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("-l", "--list", "lists", multiple=True, metavar="FILE", help="Targets, one a line.")
@click.option(
    "--ports",
    default=MAIL_PORTS,
    metavar="PORTS",
    help="Where a target names none: numbers, ranges, names.  [default: all mail logins]",
)
@click.option("--srv", is_flag=True, help="Also the hosts of a domain's SRV records (RFC 6186).")
@click.option("--mx", is_flag=True, help="Also the hosts of a domain's MX records.")
@scope_options
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
@timeout_option()
@click.option(
    "--timeout-connect",
    type=SECONDS,
    metavar="SECONDS",
    help="For a connection.  [default: 5, or --timeout if less]",
)
@click.option(
    "--timeout-total",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="For one whole connection.  [default: 30, more or less with --timeout]",
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
    "--processes",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Processes that look.  [default: as many as cores, targets and rate have work for]",
)
@click.option(
    "--rate",
    type=_RATE,
    default=500.0,
    show_default=True,
    metavar="N",
    help="New connections a second; 0: no limit.",
)
@click.option(
    "--rate-network",
    type=_RATE,
    default=100.0,
    show_default=True,
    metavar="N",
    help="The same to one IPv4 /24 or IPv6 /64.",
)
@click.option(
    "--rate-host",
    type=_RATE,
    default=20.0,
    show_default=True,
    metavar="N",
    help="The same to one address.",
)
@click.option(
    "--per-host",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    metavar="N",
    help="Ports of one address that are looked at at a time; 0: no limit.",
)
@click.option(
    "--again",
    default="60,300",
    show_default=True,
    metavar="SECONDS,...",
    help="When to look again at who says to come later, or never.",
)
@click.option(
    "--vantage",
    type=click.Choice(VANTAGES),
    help="What the look counts as. Default: self for this host's own addresses, else remote.",
)
@click.option("--site", default="default", show_default=True, help="Name of the network.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with an interrupted scan: what -o FILE has of it (NDJSON) is not looked at again.",
)
@click.option(
    "--fail-on",
    type=click.Choice([severity.value for severity in Severity]),
    metavar="SEVERITY",
    help="Exit 1 for findings from info, low, medium, high or critical upwards, too.",
)
@click.option("--must-answer", is_flag=True, help="Exit 1 where no service answers, too.")
@recording_options
@output_options(*FORMS)
@exits.for_readers
def command(
    form: str,
    output: str | None,
    overwrite: bool,
    fail_on: str | None,
    must_answer: bool,
    resume: bool,
    store: str | None,
    no_store: bool,
    **options: Any,
) -> Exit:
    """Look at services: who takes a password in cleartext?

    TARGET is a name, an address, host:port, [v6]:port, pop3://host:port or a.b.c.d/n; "-" reads
    targets from stdin. Schemes and names of ports: pop2, pop3, imap, smtp, submission, submissions,
    imaps, pop3s, sieve.
    """
    from mailseal.workflow import BadInput
    from mailseal.workflow.recording import recorder
    from mailseal.workflow.scan import stream

    if resume and (output is None or form != "ndjson" or overwrite):
        raise Stop(Exit.USAGE, "--resume goes with --format ndjson -o FILE, without --overwrite")
    tally = Tally()
    failing = FailOn(Severity(fail_on) if fail_on else None, must_answer)
    code = Exit.CLEAN
    with contextlib.ExitStack() as stack:
        try:
            request = _request(**options)
            if resume and output is not None:
                request, out = _resumed(request, output, tally, stack)
            began = _Progress(tally)
            memory = stack.enter_context(recorder(not no_store, store, os.environ, began.say))
            results = stack.enter_context(
                contextlib.closing(stream(request, watch=began.show, tell=began.say))
            )
        except BadInput as error:
            raise Stop(Exit.USAGE, str(error)) from None
        if not resume:
            out = stack.enter_context(opened(output, overwrite, streamed=True))
        try:
            lines = writer(form, out, failing)
            for told in results:
                told.count(tally)
                if memory.records:
                    memory.take(told.result)
                began.clear()
                if form == "ndjson":
                    out.line(told.line)
                else:
                    lines.add(told.result)
            began.clear()
            memory.finish()
            code = exits.of_scan(tally, failing)
            lines.end(tally, code)
        except BadInput as error:
            raise Stop(Exit.USAGE, str(error)) from None
        except ReaderGone:
            # Not all was looked at, and nobody read all there was.
            code = exits.of_scan(tally, failing) or Exit.INCONCLUSIVE
        finally:
            memory.finish()
            began.clear()
    return Exit.USAGE if memory.failed else code


def _resumed(
    request: Request, path: str, tally: Tally, stack: contextlib.ExitStack
) -> tuple[Request, Output]:
    """The request without what the file has of it, and the file. What was found before counts."""
    from mailseal.workflow import journal

    earlier = journal.Earlier()

    def read(stream: BinaryIO) -> None:
        nonlocal earlier
        earlier = journal.take_up(stream, path, request.site, request.name)

    out = stack.enter_context(taken_up(path, read))
    tally.verdicts.update(earlier.verdicts)
    tally.worst = earlier.worst
    return replace(request, earlier=earlier), out


class _Progress:
    """How far it is, on a terminal: done, of how many, how fast, how long still, how many exposed.
    What is said besides goes to stderr whatever it is.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._before = tally.total
        self._began = time.monotonic()
        self._line = Progress(time.monotonic)
        self._line.show("looking")
        self.clear = self._line.clear

    def show(self, standing: Standing) -> None:
        """Shows it, not too often."""
        self._line.show(self.words(standing, time.monotonic() - self._began))

    def words(self, standing: Standing, elapsed: float) -> str:
        """One line."""
        rate = (self._tally.total - self._before) / max(elapsed, 0.001)
        words = f"{standing.done} of {standing.total}{'' if standing.exact else ' or more'}"
        if rate and elapsed > 1:
            left = (standing.total - standing.done) / rate
            words += f", {rate:.0f}/s, {duration(left)} left"
        words += f", {self._tally.verdicts[Verdict.EXPOSED]} exposed"
        return words + (f", {standing.later} to be looked at again" if standing.later else "")

    def say(self, words: str) -> None:
        """Says a line for people."""
        self._line.clear()
        click.echo(f"mailseal: {harmless(words)}", err=True)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as far as they matter."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _request(
    *,
    targets: tuple[str, ...],
    lists: tuple[str, ...],
    ports: str,
    srv: bool,
    mx: bool,
    exclude: tuple[str, ...],
    exclude_files: tuple[str, ...],
    scope: str | None,
    prove: bool,
    user: str | None,
    password_fd: int | None,
    prove_remote: bool,
    intrusive: bool,
    tls_versions: bool,
    ca: str,
    name: str,
    timeout: float,
    timeout_connect: float | None,
    timeout_total: float | None,
    concurrency: int,
    processes: int | None,
    rate: float,
    rate_network: float,
    rate_host: float,
    per_host: int,
    again: str,
    vantage: str | None,
    site: str,
) -> Request:
    """The options as the workflow wants them; the password is asked for here. Raises BadInput."""
    from mailseal.workflow.scan import Rates, Request, Word, credentials, ports_of, seconds_of

    if password_fd is not None and user is None:
        raise Stop(Exit.USAGE, "--password-fd goes with --user NAME")
    return Request(
        words=tuple(Word(target) for target in targets if target != "-"),
        lists=(*lists, *(target for target in dict.fromkeys(targets) if target == "-")),
        ports=ports_of(ports),
        srv=srv,
        mx=mx,
        exclude=exclude,
        exclude_files=exclude_files,
        scope=scope,
        login=None if user is None else credentials(user, password(user, password_fd)),
        throwaway=prove,
        remote_login=prove_remote,
        intrusive=intrusive,
        versions=tls_versions,
        authority=ca,
        name=name,
        timeout=timeout,
        connect=timeout_connect,
        total=timeout_total,
        concurrency=concurrency,
        processes=processes,
        rates=Rates(rate, rate_host, rate_network, per_host),
        again=seconds_of(again),
        vantage=None if vantage is None else Vantage(vantage),
        site=site,
    )
