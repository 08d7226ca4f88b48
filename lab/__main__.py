"""``python3 -m lab``: build what the hosts of the lab boot from, remove what is outdated, write
down what the real daemons answer, and logins as captures and logs show them.

Strategy: only parses and prints; ``lab.images`` and ``lab.record`` do the work.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lab.daemons import DAEMONS
from lab.images import (
    PROGRAMS,
    SELDOM,
    SYSTEMS,
    LabError,
    cache_directory,
    image,
    program,
    prune,
)
from lab.record import record, record_logins
from lab.sessions import KITS

RECORDERS = {"record": record, "record-logins": record_logins}


def main() -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m lab", description="Real hosts for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build the images that are missing")
    build.add_argument(
        "system",
        nargs="*",
        default=[*(name for name in SYSTEMS if name not in SELDOM), *PROGRAMS],
        help=f"what to build, of {', '.join((*SYSTEMS, *PROGRAMS))} (default: %(default)s)",
    )
    commands.add_parser("prune", help="remove images of older recipes (while no lab runs)")
    ask = commands.add_parser("record", help="write down what the real daemons answer")
    ask.add_argument("folder", type=Path)
    ask.add_argument(
        "daemon",
        nargs="*",
        default=list(DAEMONS),
        help=f"of {', '.join(DAEMONS)} (default: all)",
    )
    watch = commands.add_parser("record-logins", help="write down logins: packets, logs, truth")
    watch.add_argument("folder", type=Path)
    watch.add_argument(
        "daemon", nargs="*", default=list(KITS), help=f"of {', '.join(KITS)} (default: all)"
    )
    arguments = parser.parse_args()
    if arguments.command == "prune":
        for path in prune():
            print(f"removed {path}")
        return 0
    try:
        if arguments.command in RECORDERS:
            for name in arguments.daemon:
                for path in RECORDERS[arguments.command](name, arguments.folder):
                    print(path, flush=True)
            return 0
        for name in arguments.system:
            path = program(name) if name in PROGRAMS else image(name).layers[0]
            print(f"{name}: {path}", flush=True)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    print(f"everything is in {cache_directory()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
