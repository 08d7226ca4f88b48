"""The command line: parses and prints, decides nothing.

Strategy: `commands` is a table of names and modules; a command's module is imported when it is
called, and imports what it works with inside its function, so that help and completion start fast.
The version is asked for more often than anything else, by scripts that decide what else to run: it
is answered here, before the library that reads command lines is imported. `running` does the rest.
Results go to stdout, talk and progress to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (`sys.argv` where None is given); the exit code."""
    if (sys.argv[1:] if arguments is None else arguments) == ["--version"]:
        from mailseal import __version__

        sys.stdout.write(f"mailseal {__version__}\n")
        return 0
    from mailseal.cli.running import run

    return run(arguments)
