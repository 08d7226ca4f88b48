"""One command line from words to exit code.

Strategy: `run` is the one place where exceptions become exit codes (`exits`): what a command did
not expect is a fault of ours and says so, and never ends with a code that means a verdict.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from mailseal.cli.commands import mailseal
from mailseal.cli.exits import Exit, Stop
from mailseal.report.style import harmless


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (`sys.argv` where None is given); the exit code."""
    stdout = sys.stdout
    try:
        code = mailseal.main(arguments, prog_name="mailseal", standalone_mode=False)
        return int(code or Exit.CLEAN)
    except Stop as stop:
        _complain(str(stop))
        return int(stop.code)
    except (click.Abort, KeyboardInterrupt, EOFError):
        _complain("interrupted")
        return int(Exit.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return int(Exit.USAGE)
    except SystemExit as end:
        # Where the reader of stdout has gone, click wraps the stream and exits 1, which would read
        # as "exposed".
        if sys.stdout is not stdout:
            return int(Exit.INCONCLUSIVE)
        raise end
    except Exception as error:
        return _fault(error)


def _complain(words: str) -> None:
    lines = [harmless(line) for line in words.split("\n")]
    click.echo("mailseal: " + "\n".join(lines), err=True)


def _fault(error: Exception) -> int:
    """A fault of ours: one line and what to do; never an exit code that means a verdict."""
    if os.environ.get("MAILSEAL_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    _complain(f"a fault of mailseal: {type(error).__name__}: {harmless(str(error))[:300]}")
    _complain(
        "nothing was concluded. Run it again with MAILSEAL_DEBUG=1 and report what it prints, "
        "with `mailseal --version`"
    )
    return int(Exit.FAULT)
