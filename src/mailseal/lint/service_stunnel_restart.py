"""A unit that starts stunnel and does not start it again."""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import systemd
from mailseal.lint.base import Hit, Rule
from mailseal.model.finding import Severity

PROGRAMS = ("stunnel", "stunnel3", "stunnel4", "stunnel5")


def started(document: systemd.Document) -> Iterator[tuple[systemd.Option, str]]:
    """Where a unit starts stunnel and keeps it, and the program's path."""
    if systemd.effective([document]).get("Service", {}).get("Type") == ("oneshot",):
        return
    for option in document.options("Service", "ExecStart"):
        for command in systemd.split_exec(option.value.text) or ():
            if command.path.rpartition("/")[2] in PROGRAMS:
                yield option, command.path


def check(document: systemd.Document) -> Iterator[Hit]:
    values = systemd.effective([document]).get("Service", {})
    if (values.get("Restart") or ("no",))[-1] == "no":
        for option, path in started(document):
            yield Hit(option.value.span, f"{path} without Restart=")


RULE = Rule(
    id="service-stunnel-restart",
    title="stunnel stays down when it ends",
    severity=Severity.LOW,
    kind="service",
    why=(
        "Without Restart= systemd leaves stunnel down when it ends. Nobody gets in then, and what "
        "is done about it in a hurry is often the old cleartext port."
    ),
    fix=(
        "Write Restart=on-failure into [Service], or into a drop-in: `systemctl edit UNIT`. A "
        "drop-in that is there already is not seen here."
    ),
    check=check,
    whole=True,
)
