"""Units for systemd: the watch as a service, or one round by a timer (systemd.unit(5)).

Strategy: files as an administrator would write them, with what both services have in common in a
third. The program's path is put in where it is printed.
"""

from __future__ import annotations

from importlib.resources import files

NAMES = ("service", "once", "timer")


def unit(name: str, program: str) -> str:
    """A unit of `NAMES` as text; `program` is the path of mailseal. Raises ValueError for a path
    that systemd does not take.
    """
    if any(char in "\"'\\" or not char.isprintable() for char in program):
        raise ValueError(f"systemd takes no program with the path {program}: put a link elsewhere")
    folder = files(__name__)
    text = folder.joinpath(name).read_text(encoding="utf-8")
    common = folder.joinpath("common").read_text(encoding="utf-8").rstrip("\n")
    # systemd.service(5), "Command lines": a per cent sign begins a specifier, also in the path.
    path = program.replace("%", "%%")
    return text.replace("@COMMON@", common).replace(
        "@PROGRAM@", f'"{path}"' if " " in path else path
    )
