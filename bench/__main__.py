"""The benches by name: a table of names and modules. What is not asked for is not imported."""

import argparse
import importlib
import json
import sys
from pathlib import Path

from bench.process import BenchError
from bench.table import Table, machine

BENCHES = {
    "check": "bench.check",
    "imports": "bench.imports",
    "lint": "bench.lint",
    "local": "bench.local",
    "logs": "bench.logs",
    "scan": "bench.scan",
    "scan_scale": "bench.scan_scale",
    "seal": "bench.seal",
    "start": "bench.start",
    "store": "bench.store",
    "switch": "bench.switch",
    "terminators": "bench.terminators",
    "wire": "bench.wire",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHES)}")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    unknown = set(options.names) - BENCHES.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    rounds = 1 if options.quick else options.rounds
    tables: dict[str, Table] = {}
    print(machine(), flush=True)
    for name in options.names or BENCHES:
        try:
            tables[name] = importlib.import_module(BENCHES[name]).run(rounds)
        except BenchError as error:
            print(f"bench: {name}: {error}", file=sys.stderr)
            return 1
        print(f"\n{tables[name].text()}", flush=True)
    if options.json:
        figures = {name: table.figures() for name, table in tables.items()}
        options.json.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
