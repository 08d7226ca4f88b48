"""`mailseal watch`: looks again on a schedule and tells of drift and recovery.

Strategy: options become one `workflow.watch.Request`; notices are lines on stdout, what it says of
itself goes to stderr.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.loginscommon import stoppable
from mailseal.cli.lookoptions import scope_options, timeout_option
from mailseal.cli.output import ReaderGone, opened
from mailseal.cli.scan import MAIL_PORTS, VANTAGES
from mailseal.cli.storeoption import recording_options
from mailseal.model.look import Vantage
from mailseal.report.style import harmless

if TYPE_CHECKING:
    from mailseal.workflow.watch import Watch
    from mailseal.workflow.watchrequest import Request

UNITS = ("service", "once", "timer")
_SPAN = re.compile(r"([0-9]{1,5})(s|m|h|d)")
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LEAST = 10
"""Seconds of the shortest interval."""


@click.command(
    "watch",
    epilog="""\b
Examples:
  mailseal watch mail.example                      every hour; prints what changes
  mailseal watch -l hosts.txt --every 15m --policy policy.toml --alerts alerts.toml
  mailseal watch mail.example --logs /var/log/mail.log --metrics 127.0.0.1:9109
  mailseal watch mail.example --once --textfile /var/lib/node_exporter/mailseal.prom
  mailseal watch --print-unit service > /etc/systemd/system/mailseal-watch.service
  mailseal watch --print-rules > mailseal.rules.yml

Each drift and each recovery is told once, also over restarts. Without --alerts it is printed;
docs/reference/alerts.md has webhooks, mail and syslog. Ends with SIGTERM or Ctrl-C, and then exits
0; with --once the exit code is 1 where something is not as the policy wants it, 3 where nothing is
but something could not be told. 6 says that another watch works with the same state.
""",
)
@click.argument("targets", nargs=-1, metavar="[TARGET...]")
@click.option("-l", "--list", "lists", multiple=True, metavar="FILE", help="Targets, one a line.")
@click.option(
    "--ports",
    default=MAIL_PORTS,
    metavar="PORTS",
    help="Where a target names none: numbers, ranges, names.  [default: all mail logins]",
)
@scope_options
@click.option("--ca", "authority", metavar="FILE", default="", help="Trust these CAs too (PEM).")
@click.option("--name", metavar="NAME", default="", help="What certificates must be for.")
@timeout_option()
@click.option(
    "--vantage",
    type=click.Choice(VANTAGES),
    help="What the look counts as. Default: self for this host's own addresses, else remote.",
)
@click.option("--site", default="default", show_default=True, help="Name of the network.")
@click.option(
    "--every",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="From one round to the next at most: 90s, 15m, 6h, 1d.",
)
@click.option(
    "--jitter",
    type=click.IntRange(0, 100),
    default=10,
    show_default=True,
    metavar="PERCENT",
    help="By how much of that a round may come earlier, so that not all come at once.",
)
@click.option("--once", is_flag=True, help="One round, now, and the end: for a timer.")
@click.option(
    "--policy",
    metavar="FILE",
    help="What is asked of the services.  [default: mailseal.toml, else all rules]",
)
@click.option("--alerts", metavar="FILE", help="Who is told of what, and how.")
@click.option("--logs", multiple=True, metavar="FILE", help="Follow this log of a mail server too.")
@click.option(
    "--zone", default="", metavar="ZONE", help="Of moments in logs that name none: Europe/Berlin."
)
@click.option(
    "--metrics", metavar="ADDRESS:PORT", help="Prometheus metrics there, on loopback alone."
)
@click.option("--textfile", metavar="FILE", default="", help="The same as a file, written whole.")
@click.option(
    "--state",
    metavar="FILE",
    help="What must outlive a restart. Else mailseal/watch.json in XDG_STATE_HOME.",
)
@recording_options
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "ndjson")),
    default="text",
    show_default=True,
    help="Form of what is printed.",
)
@click.option("--print-unit", type=click.Choice(UNITS), help="Print a unit for systemd, and end.")
@click.option("--print-rules", is_flag=True, help="Print alert rules for Prometheus, and end.")
def command(form: str, print_unit: str | None, print_rules: bool, **options: Any) -> Exit:
    """Look again and again, and tell of drift and recovery.

    TARGET is as in `mailseal scan`; without one it is what the policy names.
    """
    from mailseal.workflow import BadInput
    from mailseal.workflow.watch import StateError, StateInUse, watch
    from mailseal.workflow.watchrequest import printed, rules

    def tell(words: str) -> None:
        click.echo(f"mailseal: {harmless(words)}", err=True)

    with opened(None, False) as out:
        if print_unit:
            out.line(_unit(print_unit))
            return Exit.CLEAN
        if print_rules:
            out.line(rules().rstrip("\n"))
            return Exit.CLEAN
        words = printed(form)
        try:
            request = _request(**options)
            with stoppable() as stopped:
                done = watch(request, lambda notice: out.line(words(notice)), tell, stopped)
        except StateInUse as error:
            raise Stop(Exit.REFUSED, str(error)) from None
        except (BadInput, StateError) as error:
            raise Stop(Exit.USAGE, str(error)) from None
        except ReaderGone:
            return Exit.INCONCLUSIVE
    if not request.once:
        return Exit.CLEAN
    return Exit.USAGE if done.unwritten else _amounts_to(done)


def _amounts_to(done: Watch) -> Exit:
    outcome = done.outcome
    if outcome is None or outcome.lost:
        return Exit.INCONCLUSIVE
    if outcome.troubles:
        return Exit.EXPOSED
    return Exit.INCONCLUSIVE if outcome.undecided else Exit.CLEAN


def _unit(name: str) -> str:
    from mailseal.workflow.watchrequest import unit

    program = shutil.which(sys.argv[0]) or shutil.which("mailseal") or "/usr/bin/mailseal"
    try:
        return unit(name, os.path.abspath(program)).rstrip("\n")
    except ValueError as error:
        raise Stop(Exit.USAGE, str(error)) from None


def _request(
    *,
    targets: tuple[str, ...],
    lists: tuple[str, ...],
    ports: str,
    vantage: str | None,
    every: str,
    jitter: int,
    once: bool,
    policy: str | None,
    alerts: str | None,
    logs: tuple[str, ...],
    zone: str,
    metrics: str | None,
    textfile: str,
    state: str | None,
    store: str | None,
    no_store: bool,
    **look: Any,
) -> Request:
    """The options as the workflow wants them. Raises BadInput."""
    from mailseal.workflow import BadInput, policies, scan, watchrequest
    from mailseal.workflow import logs as following

    asked = watchrequest.policy_of(policy)
    numbers = scan.ports_of(ports)
    words = targets or (() if lists else policies.looked_at(asked, numbers))
    if not (words or lists):
        raise BadInput("name a target, here or in the policy (targets)")
    if "-" in (*words, *lists):
        raise BadInput("stdin has its targets once only: name a file")
    span = _SPAN.fullmatch(every)
    seconds = int(span[1]) * _UNIT[span[2]] if span else 0
    if not LEAST <= seconds <= 30 * 86400:
        raise BadInput(f"--every {every!r}: write 15m, 6h or 1d, from 10s to 30d")
    return watchrequest.Request(
        scan=scan.Request(
            words=tuple(map(scan.Word, words)),
            lists=lists,
            ports=numbers,
            vantage=None if vantage is None else Vantage(vantage),
            # Who says "later" is looked at again in the next round.
            again=(),
            **look,
        ),
        policy=asked,
        rules=watchrequest.rules_of(alerts),
        pace=watchrequest.Pace(seconds, jitter / 100),
        state=watchrequest.path_of(state, os.environ),
        store=None if no_store else (store, os.environ),
        logs=following.Request(logs, zone=zone) if logs else None,
        metrics=None if metrics is None else _place(metrics),
        textfile=textfile,
        once=once,
    )


def _place(text: str) -> tuple[str, int]:
    from mailseal.workflow import BadInput

    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:]+)\]|([0-9.]+)):([0-9]{1,5})", text)
    if not found or int(found[3]) > 65535:
        raise BadInput(f"--metrics {text!r}: write 127.0.0.1:9109 or [::1]:9109")
    return found[1] or found[2], int(found[3])
