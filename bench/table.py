"""What a bench gives: a table for people, and the same figures for tools."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """`rows` by contestant, one figure a column; `notes` say what the figures rest on."""

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[float]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        names = max(len(name) for name in self.rows)
        widths = [max(10, len(column)) for column in self.columns]
        cells = zip(self.columns, widths, strict=True)
        lines = [self.title, " " * names + "".join(f"  {text:>{width}}" for text, width in cells)]
        for name, figures in self.rows.items():
            pairs = zip(figures, widths, strict=True)
            lines.append(f"{name:{names}}" + "".join(f"  {f:>{w}.2f}" for f, w in pairs))
        return "\n".join([*lines, *self.notes])

    def figures(self) -> dict[str, object]:
        """As JSON takes it."""
        rows = {
            name: dict(zip(self.columns, figures, strict=True))
            for name, figures in self.rows.items()
        }
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}


def machine() -> str:
    """One line on what the figures were taken on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    model = models[0] if models else platform.machine()
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} x {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {load:.1f}"
    )
