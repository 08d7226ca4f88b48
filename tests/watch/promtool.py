"""Prometheus' own tool, and what alerts its rules raise over expositions of ours.

Strategy: each exposition is scraped once a minute for as long as it is said to hold, the last one
until `END`. The real clock does not run there: moments are moved so that `now` is `END`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mailseal.watch import figures
from tests.debian import program
from tests.watch.exposition import Key, read

END = 5 * 60
"""Minutes from the first scrape to the evaluation."""
EXPRESSION = "promql_expr_test"
FIRING = 'group by (alertname) (ALERTS{alertstate="firing"})'


def ran(*words: str, data: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program("promtool")), *words],
        input=data,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def scraped(phases: Sequence[tuple[int, str]], now: float) -> list[dict[str, str]]:
    """The series of expositions that hold so many minutes each."""
    found = [(minutes, read(text)) for minutes, text in phases]
    keys = dict.fromkeys(key for _, samples in found for key in samples)
    return [
        {
            "series": _series(key),
            "values": " ".join(
                f"{_moved(key, samples[key], now)!r}+0x{minutes - 1}"
                if key in samples
                else f"stale _x{minutes - 1}"
                for minutes, samples in found
            ),
        }
        for key in keys
    ]


def _series(key: Key) -> str:
    name, labels = key
    pairs = [*labels, ("instance", "monitor:9109"), ("job", "mailseal")]
    return name + "{%s}" % ",".join(f"{label}={json.dumps(text)}" for label, text in pairs)


def _moved(key: Key, number: float, now: float) -> float:
    return number - now + END * 60 if number and "_timestamp_" in key[0] else number


def judged(folder: Path, series: Sequence[dict[str, str]], kind: str, **case: object) -> str:
    """What promtool says against it that our rules make this of the series at the end; nothing
    where they do. The case is as promtool has that kind: promql_expr_test or alert_rule_test.
    """
    (folder / "rules.yml").write_text(figures.rules())
    of_kind = {kind: [{**case, "eval_time": f"{END}m"}]}
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, **of_kind}],
    }
    path = folder / "tests.json"
    path.write_text(json.dumps(tests))
    done = ran("test", "rules", str(path))
    return "" if done.returncode == 0 else done.stdout + done.stderr


def alerts(folder: Path, *phases: str | tuple[int, str], now: float, fire: set[str]) -> str:
    """What promtool says against it that these alerts fire at the end, and no others. An
    exposition without minutes has all that are left.
    """
    left = END + 1 - sum(each[0] for each in phases if isinstance(each, tuple))
    spans = [each if isinstance(each, tuple) else (left, each) for each in phases]
    wanted = [{"labels": '{alertname="%s"}' % name, "value": 1} for name in sorted(fire)]
    return judged(folder, scraped(spans, now), EXPRESSION, expr=FIRING, exp_samples=wanted)
