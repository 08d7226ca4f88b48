"""Units for systemd: the watch as a service, or one round by a timer (systemd.unit(5)).

Strategy: files as an administrator would write them, with what both services have in common in a
third. The program's path is put in where it is printed, with what systemd would read in it escaped.
"""

from __future__ import annotations

from importlib.resources import files

NAMES = ("service", "once", "timer")


def unit(name: str, program: str) -> str:
    """A unit of `NAMES` as text; `program` is the path of mailseal."""
    folder = files(__name__)
    text = folder.joinpath(name).read_text(encoding="utf-8")
    common = folder.joinpath("common").read_text(encoding="utf-8").rstrip("\n")
    # systemd.service(5), "Command lines": quotes, backslashes, specifiers and variables.
    path = program.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    quoted = f'"{path}"' if any(char in path for char in " \t'\"\\;") else path
    return text.replace("@COMMON@", common).replace("@PROGRAM@", quoted)
