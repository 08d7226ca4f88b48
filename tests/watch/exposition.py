"""A reader of Prometheus' text form by its grammar, which knows nothing of who writes it.

https://prometheus.io/docs/instrumenting/exposition_formats/ (0.0.4): a line is a comment or
`name{label="value",...} number`; HELP escapes backslash and line feed, a label's value the double
quote as well.
"""

from __future__ import annotations

import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HELP = re.compile(rf"# HELP ({_NAME}) ((?:[^\\\n]|\\\\|\\n)*)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram|summary|untyped)")
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)?\}})? (\S+)")

Key = tuple[str, tuple[tuple[str, str], ...]]


def read(text: str) -> dict[Key, float]:
    """The samples by name and labels. Raises AssertionError for what is not of the form."""
    assert text == "" or text.endswith("\n")
    samples: dict[Key, float] = {}
    kinds: dict[str, str] = {}
    ended: set[str] = set()
    current = ""
    for line in text.split("\n")[:-1]:
        if help := _HELP.fullmatch(line):
            assert help[1] not in ended | {current}, f"{help[1]} begins twice"
            ended.add(current)
            current = help[1]
            assert help[2].strip()
            continue
        if kind := _TYPE.fullmatch(line):
            assert kind[1] == current
            assert kind[1] not in kinds
            kinds[kind[1]] = kind[2]
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, f"not of the form: {line!r}"
        assert sample[1] == current, f"{sample[1]} stands in another family"
        assert current in kinds
        assert (kinds[current] == "counter") == current.endswith("_total")
        labels = tuple(
            (name, re.sub(r"\\(.)", lambda hit: {"n": "\n"}.get(hit[1], hit[1]), value))
            for name, value in re.findall(_LABEL, sample[2] or "")
        )
        assert len({name for name, _ in labels}) == len(labels)
        key = (sample[1], labels)
        assert key not in samples, f"{key} stands twice"
        samples[key] = float(sample[7])
    return samples


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of that name that has these labels (and others). Raises AssertionError."""
    found = [
        number
        for (sample, all_labels), number in read(text).items()
        if sample == name and labels.items() <= dict(all_labels).items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]
