"""``python3 -m lab``: build what the hosts of the lab boot from, remove what is outdated.

Strategy: only parses and prints; ``lab.images`` does the work.
"""

from __future__ import annotations

import argparse
import sys

from lab.images import SYSTEMS, LabError, cache_directory, image, prune


def main() -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m lab", description="Real hosts for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build the images that are missing")
    build.add_argument(
        "system",
        nargs="*",
        default=[name for name, system in SYSTEMS.items() if system.default],
        help=f"what to build, of {', '.join(SYSTEMS)} (default: %(default)s)",
    )
    commands.add_parser("prune", help="remove images of older recipes (while no lab runs)")
    arguments = parser.parse_args()
    if arguments.command == "prune":
        for path in prune():
            print(f"removed {path}")
        return 0
    try:
        for name in arguments.system:
            print(f"{name}: {image(name).layers[0]}", flush=True)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    print(f"everything is in {cache_directory()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
