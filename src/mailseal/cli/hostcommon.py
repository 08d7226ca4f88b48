"""What the commands about a host share: the options of a plan, the host, and errors as exit codes.

Strategy: every refusal of the rooms below becomes one `Stop` here, with the code that DESIGN.md
gives it, so that no command words it anew.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.redactoption import redaction, redaction_options
from mailseal.cli.storeoption import store_option

if TYPE_CHECKING:
    from mailseal.model.plan import Receipt
    from mailseal.workflow.hosts import Host
    from mailseal.workflow.logins import Asked
    from mailseal.workflow.plans import Wish

F = TypeVar("F", bound=Callable[..., Any])


def plan_options(function: F) -> F:
    """The options that say what is planned."""
    return _with(_PLAN_OPTIONS, function)


def change_options(function: F) -> F:
    """The options of a command that changes a host."""
    return _with(_CHANGE_OPTIONS, function)


def _with(options: tuple[Callable[[F], F], ...], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


_CHANGE_OPTIONS = (
    click.option(
        "--yes", is_flag=True, help="Say yes to the plan, and on the host itself to keep it."
    ),
    click.option(
        "--accept-unproven",
        is_flag=True,
        help="Keep the change also where something could not be seen from here.",
    ),
    click.option(
        "--confirm-within",
        type=click.FloatRange(20, 86400),
        default=300.0,
        show_default=True,
        metavar="SECONDS",
        help="After that an unconfirmed change is undone.",
    ),
    click.option(
        "--change-policy",
        metavar="FILE",
        help="Change control to meet besides /etc/mailseal/change.toml, here and there.",
    ),
)


_PLAN_OPTIONS = (
    click.option(
        "--strategy",
        type=click.Choice(("wrap", "native", "retire", "gateway")),
        help="TLS in front (wrap), enforced by the daemon itself (native), the service turned off "
        "(retire), or TLS on this host for one on another (gateway, with --backend). Default: what "
        "fits, and the plan says why.",
    ),
    click.option(
        "--backend",
        multiple=True,
        metavar="ADDRESS:PORT",
        help="What a gateway stands before. May be repeated: it connects to the first, and stage "
        "enforce wants all closed to others.",
    ),
    click.option(
        "--backend-tls",
        metavar="NAME",
        default="",
        help="The backend speaks TLS, with a certificate for this name.",
    ),
    click.option(
        "--backend-ca",
        metavar="FILE",
        default="",
        help="Who signed that, on the gateway. Default: the system's trusted roots.",
    ),
    click.option(
        "--trust-leg",
        metavar="REASON",
        default="",
        help="The backend speaks cleartext to the gateway, and why that is safe.",
    ),
    click.option(
        "--stage",
        type=click.Choice(("offer", "enforce")),
        default="enforce",
        show_default=True,
        help="TLS beside cleartext on another port, or instead of it.",
    ),
    click.option(
        "--except",
        "networks",
        multiple=True,
        metavar="NETWORK",
        help="Clients of this network may go on in cleartext: 10.1.2.0/24. May be repeated.",
    ),
    click.option(
        "--until",
        multiple=True,
        metavar="DAY",
        help="Last day of an exception, which ends then by itself. Once for all, or once for each.",
    ),
    click.option("--owner", multiple=True, metavar="NAME", help="Who answers for it; as --until."),
    click.option("--reason", multiple=True, metavar="TEXT", help="Why it is; as --until."),
    click.option("--name", metavar="NAME", default="", help="Host name for the certificate."),
    click.option("--cert", metavar="FILE", default="", help="Certificate with chain, on the host."),
    click.option("--key", metavar="FILE", default="", help="Its key, on the host."),
    click.option(
        "--certbot",
        metavar="NAME",
        default="",
        help="Certificate that certbot has by this name, on the host, instead of --cert and --key.",
    ),
    click.option(
        "--ca", metavar="FILE", default="", help="CA of --cert or --certbot, if a private one."
    ),
    click.option(
        "--tls-port",
        type=click.IntRange(1, 65535),
        metavar="N",
        help="Where TLS is served besides. Default: 995 for POP3, 993 for IMAP; else 1109, in "
        "stage offer alone.",
    ),
    click.option(
        "--handover",
        type=click.Choice(("auto", "plain")),
        default="auto",
        show_default=True,
        help="How a port changes hands when TLS is put in front: with no connection refused where "
        "nftables is installed (auto), or with a short gap (plain).",
    ),
    click.option(
        "--port",
        type=click.IntRange(1, 65535),
        metavar="N",
        help="Port of the service, for ssh://. Default: that of --backend, else 109.",
    ),
    click.option(
        "--logins-since",
        default="30d",
        show_default=True,
        metavar="TIME",
        help="Name who logged in since then: 30d, 12h, 4w or a day.",
    ),
    click.option(
        "--require-quiet",
        default="",
        metavar="TIME",
        help="Refuse where somebody would be cut off who was seen since then, or nobody looked.",
    ),
    store_option,
    redaction_options,
)


def far(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Another host is never named in a way that could mean this one."""
    if value is not None and not value.startswith("ssh://"):
        raise click.BadParameter("write it as ssh://%s" % value)
    return value


far_argument = click.argument("target", required=False, metavar="[ssh://HOST]", callback=far)
far_option = click.option(
    "--on", "target", metavar="ssh://HOST", callback=far, help="Another host than this one."
)


def wish(options: dict[str, Any], port: int, protocol: str = "", name: str = "") -> Wish:
    """The options as the workflow wants them; `name` is for the certificate where they give none.
    Raises Stop, BadInput.
    """
    from mailseal.plan import Given, Options
    from mailseal.workflow.excepted import excepted
    from mailseal.workflow.gateway import backend
    from mailseal.workflow.plans import Wish

    if bool(options["cert"]) != bool(options["key"]):
        raise Stop(Exit.USAGE, "--cert and --key go together")
    if options["cert"] and options["certbot"]:
        raise Stop(Exit.USAGE, "--cert and --certbot exclude each other")
    given = None
    if options["cert"]:
        given = Given(options["cert"], options["key"], options["ca"])
    elif options["certbot"]:
        try:
            given = Given.by_certbot(options["certbot"], options["ca"])
        except ValueError as error:
            raise Stop(Exit.USAGE, str(error)) from None
    elif options["ca"]:
        raise Stop(Exit.USAGE, "--ca says who signed --cert or --certbot: give that too")
    words = (options[each] for each in ("networks", "until", "owner", "reason"))
    exceptions = excepted(*words)
    if exceptions and options["stage"] != "enforce":
        raise Stop(Exit.USAGE, "--except is for stage enforce: stage offer cuts nobody off")
    return Wish(
        port,
        Options(
            strategy=options["strategy"] or "",
            stage=options["stage"],
            name=options["name"] or name,
            given=given,
            tls_port=options["tls_port"] or 0,
            excepted=exceptions,
            handover=options["handover"],
            backend=backend(
                options["backend"],
                options["backend_tls"],
                options["backend_ca"],
                options["trust_leg"],
            ),
        ),
        protocol,
    )


def asked(options: dict[str, Any]) -> Asked:
    """How the plan asks who logs in. Raises Stop."""
    from mailseal.workflow import BadInput, logins

    hidden = redaction(options["redact_users"], options["redact_clients"])
    since, quiet = options["logins_since"], options["require_quiet"]
    try:
        return logins.asked(options["store"], os.environ, since, hidden, quiet=quiet)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None


def content(path: str) -> bytes:
    """Of a file that was named. Raises Stop."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Stop(Exit.USAGE, "%s cannot be read: %s" % (path, error.strerror)) from None


def tell(line: str) -> None:
    """Progress, on standard error."""
    click.echo("  " + line, err=True)


@contextlib.contextmanager
def host_errors() -> Iterator[None]:
    """What the rooms refuse, as a Stop with its exit code. AlreadySealed passes: it is no error."""
    from mailseal.workflow import errors

    try:
        yield
    except errors.AlreadySealed:
        raise
    except errors.Unsettled as error:
        raise Stop(Exit.UNDO_FAILED, str(error)) from None
    except errors.Refused as refused:
        raise Stop(Exit.REFUSED, " ".join(refused.problems)) from None
    except (
        errors.Cannot,
        errors.EditedPlan,
        errors.HostUnreachable,
        errors.JournalDamaged,
    ) as error:
        raise Stop(Exit.REFUSED, str(error)) from None
    except PermissionError as error:
        raise Stop(Exit.REFUSED, "%s: this needs root, run it with sudo" % error) from None
    except (errors.BadTarget, errors.CodecError, errors.BadInput) as error:
        raise Stop(Exit.USAGE, str(error)) from None


@contextlib.contextmanager
def host_of(target: str | None) -> Iterator[Host]:
    """The host that a target names. Raises Stop where ssh:// is badly written."""
    from mailseal.workflow.hosts import host

    try:
        opened = host(target, tell)
    except ValueError as error:
        raise Stop(Exit.USAGE, str(error)) from None
    with opened as found:
        yield found


def service_of(
    target: str | None, port: int | None, found: Host, backend: Sequence[str] = ()
) -> tuple[int, str]:
    """The port of the service (of `--port`, of the first `--backend`, or of a target that is this
    host), and the name that the target gives the host. Raises BadInput.
    """
    from mailseal.workflow.gateway import port_of
    from mailseal.workflow.plans import own_service

    if target is None or target.startswith("ssh://"):
        return port or (port_of(backend[0]) if backend else 109), ""
    if port is not None:
        raise Stop(Exit.USAGE, "--port goes with ssh://; write %s:%d instead" % (target, port))
    return own_service(target, found.facts(()))


def asker(yes: bool) -> Callable[[str], bool]:
    """Asks on the terminal; `--yes` is yes, and no terminal is no, said so."""

    def ask(question: str) -> bool:
        if yes:
            tell(question + "? yes (--yes)")
            return True
        if not sys.stdin.isatty():
            tell(question + "? no: there is no terminal to ask on; give --yes to say yes")
            return False
        return click.confirm(question + "?", default=False, err=True)

    return ask


def exit_of(receipt: Receipt) -> Exit:
    """The exit code of an apply."""
    from mailseal.model.plan import RunState

    good = {RunState.COMMITTED: Exit.CLEAN, RunState.HELD: Exit.CLEAN}
    return {**good, RunState.UNDONE: Exit.UNDONE}.get(receipt.state, Exit.UNDO_FAILED)
