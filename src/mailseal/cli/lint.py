"""`mailseal lint`: faults of configuration files."""

from __future__ import annotations

import sys

import click

from mailseal.cli.exits import Exit, Stop
from mailseal.cli.hostcommon import asker
from mailseal.cli.output import ReaderGone, opened, output_options, page_of, terminal_style


@click.command(
    "lint",
    epilog="""\b
Examples:
  mailseal lint /etc/stunnel/pop2.conf
  mailseal lint /etc roles playbooks               folders, with all below them
  sudo mailseal lint --here /etc/stunnel           on the host that they are for
  mailseal lint --fix stunnel.conf                 make the safe fixes; shows them and asks
  mailseal lint --format sarif -o lint.sarif .     for code scanning

Reads stunnel.conf and what it includes, inetd.conf, the files of xinetd.d, systemd sockets and
services, dovecot.conf, Postfix's main.cf and master.cf, imapd.conf and cyrus.conf, Courier's
imapd-ssl and pop3d-ssl, Exim's main section; and the same in tasks of Ansible, compose files and
Dockerfiles, and as templates of Jinja. docs/lint has a page for each rule. What kind a file is, its
name says, or its content. In folders, files of no known kind are passed over, and links are not
followed. Exit code 1: faults; 3: no faults, but a file that could not be read or understood, or
no file to lint at all; 0: neither.
""",
)
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option(
    "--here",
    is_flag=True,
    help="Look at what the files name on this host, too, and try the backends.",
)
@click.option("--fix", is_flag=True, help="Make the safe fixes; shows each file's, and asks.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@output_options("text", "json", "sarif")
def command(
    paths: tuple[str, ...],
    here: bool,
    fix: bool,
    yes: bool,
    form: str,
    output: str | None,
    overwrite: bool,
) -> Exit:
    """Find faults of stunnel.conf and of the daemons' configurations."""
    from mailseal.report import lint as report
    from mailseal.workflow import BadInput
    from mailseal.workflow import lint as workflow

    if yes and not fix:
        raise Stop(Exit.USAGE, "--yes goes with --fix")
    ask = asker(yes)

    def agree(path: str, before: bytes, after: bytes) -> bool:
        # On stderr: stdout has the results alone.
        for line in report.difference(path, before, after, terminal_style(sys.stderr)):
            click.echo(line, err=True)
        return ask(f"Change {path}")

    try:
        made = workflow.run(workflow.Request(paths, fix, here), agree)
    except BadInput as error:
        raise Stop(Exit.USAGE, str(error)) from None
    try:
        with opened(output, overwrite) as out:
            for line in report.FORMS[form](made, out.style, page_of("lint")):
                out.line(line)
    except ReaderGone:
        pass
    if any(each.faults for each in made.files):
        return Exit.EXPOSED
    if not made.files:
        click.echo("nothing to lint: name what holds a configuration", err=True)
        return Exit.INCONCLUSIVE
    return Exit.INCONCLUSIVE if any(each.unread for each in made.files) else Exit.CLEAN
