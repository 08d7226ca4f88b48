"""`mailseal completion`: the script that teaches a shell mailseal's commands and options.

Strategy: click has the scripts. They are printed without click's check for the version of bash,
which would run the bash of this machine: the script may be made on another.
"""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    epilog="""\b
Examples:
  eval "$(mailseal completion bash)"                    for this shell, in ~/.bashrc for all
  mailseal completion zsh > ~/.zfunc/_mailseal          with ~/.zfunc in fpath
  mailseal completion fish > ~/.config/fish/completions/mailseal.fish
""",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root()
    complete = kind(root.command, {}, "mailseal", "_MAILSEAL_COMPLETE")
    click.echo(ShellComplete.source(complete))
