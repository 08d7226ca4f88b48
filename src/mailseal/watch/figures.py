"""What `watch` counts, as families of `metrics`.

Strategy: counters begin at 0 with the process, as Prometheus expects. An endpoint has a few series
and only where a service was seen there: a network that is swept does not fill anybody's memory.
Days of a certificate are a moment here, so that they count down between two looks:
`(mailseal_certificate_expires_timestamp_seconds - time()) / 86400`. What the alert rules compare
with is a metric too, so that one file of rules fits every policy and every interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from mailseal import __version__
from mailseal.model.look import Endpoint
from mailseal.model.moment import seconds
from mailseal.model.policy import FAILING, Deviation, Exemption
from mailseal.model.watching import Ledger, Served
from mailseal.watch.metrics import Family, Sample, plain

ROUNDS = ("done", "lost", "failed")
"""How a round ends: looks were taken, there was no network, or it could not begin."""


@dataclass
class Figures:
    """Counted since the process began. `failures` are TLS clients by service, protocol, reason;
    `states` counts the deviations of the newest round. Moments and spans are in seconds; `looked`
    is when the newest round began that was not lost, also before a restart; else the watch itself.
    """

    rounds: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unsaved: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    newest: float = 0.0
    looked: float = 0.0
    took: float = 0.0
    interval: float = 0.0
    ahead: float = 0.0


def of_watch(figures: Figures, ledgers: Mapping[str, Ledger]) -> Iterator[Family]:
    """The watch itself."""
    yield _by(
        "mailseal_build_info", "gauge", "The version that runs.", ("version",), {(__version__,): 1}
    )
    yield _by(
        "mailseal_watch_rounds_total",
        "counter",
        "Rounds by how they ended.",
        ("outcome",),
        {(each,): figures.rounds[each] for each in ROUNDS},
    )
    yield _by(
        "mailseal_deviations",
        "gauge",
        "Deviations from the policy in the newest round.",
        ("state",),
        {(state,): count for state, count in figures.states.items()},
    )
    for name, help, value in (
        ("interval_seconds", "From one round to the next, at most.", figures.interval),
        ("round_timestamp_seconds", "When the newest round began; 0: none yet.", figures.newest),
        ("looked_timestamp_seconds", "When the newest that was not lost began.", figures.looked),
        ("round_duration_seconds", "How long the newest round took.", figures.took),
        ("clock_ahead_seconds", "How far the wall clock was set back.", figures.ahead),
    ):
        yield plain(f"mailseal_watch_{name}", "gauge", help, value)
    yield plain(
        "mailseal_watch_state_failures_total",
        "counter",
        "How often the state could not be written.",
        figures.unsaved,
    )
    for name, kind, help, counts in (
        ("alerts_sent_total", "counter", "Notices delivered.", figures.sent),
        ("alert_failures_total", "counter", "Deliveries that failed.", figures.refused),
        (
            "alerts_waiting",
            "gauge",
            "Notices that wait to be delivered.",
            {name: len(ledger.waiting) for name, ledger in ledgers.items()},
        ),
    ):
        values = {(each,): counts.get(each, 0) for each in ledgers}
        yield _by(f"mailseal_watch_{name}", kind, help, ("receiver",), values)


def of_logs(failures: Mapping[tuple[str, str, str], int]) -> Family:
    """Clients that did not get into TLS."""
    return _by(
        "mailseal_tls_client_failures_total",
        "counter",
        "TLS handshakes of clients that failed, from logs.",
        ("service", "protocol", "reason"),
        failures,
    )


def of_services(served: Iterable[Served]) -> Iterator[Family]:
    """Each service that was seen."""
    known = [(_labels(each), each) for each in served]
    yield Family(
        "mailseal_endpoint_verdict",
        "gauge",
        "1: the verdict of the newest look at cleartext logins.",
        tuple(Sample({**labels, "verdict": each.verdict}, 1) for labels, each in known),
    )
    yield Family(
        "mailseal_endpoint_look_timestamp_seconds",
        "gauge",
        "When the newest look was taken.",
        tuple(Sample(labels, seconds(each.last)) for labels, each in known if each.last),
    )
    yield Family(
        "mailseal_certificate_expires_timestamp_seconds",
        "gauge",
        "When the certificate ends.",
        tuple(Sample(labels, seconds(each.expires)) for labels, each in known if each.expires),
    )


def of_policy(exceptions: Iterable[Exemption], broken: Iterable[Deviation]) -> Iterator[Family]:
    """What the policy lets pass and until when, and what breaks it at an endpoint. A deviation has
    the same labels from round to round.
    """
    yield Family(
        "mailseal_exception_ends_timestamp_seconds",
        "gauge",
        "When an exception of the policy ends.",
        tuple(
            Sample(
                {
                    "targets": ", ".join(each.targets or each.files),
                    "site": each.site,
                    "rules": ", ".join(each.rules),
                    "owner": each.owner,
                },
                # It holds on its last day.
                seconds(f"{each.until}T00:00:00.000Z") + 86400,
            )
            for each in exceptions
        ),
    )
    yield Family(
        "mailseal_endpoint_deviation",
        "gauge",
        "1: a rule of the policy that is not kept.",
        tuple(
            Sample(
                {
                    **_place(each.endpoint),
                    "rule": each.rule,
                    "severity": each.severity.value,
                    "state": "failing" if each.state in FAILING else each.state.value,
                },
                1,
            )
            for each in broken
            if each.endpoint
        ),
    )


def rules() -> str:
    """Alert rules for Prometheus over these metrics: the file as it is handed out."""
    return files("mailseal.watch").joinpath("rules.yml").read_text(encoding="utf-8")


def _labels(each: Served) -> dict[str, str]:
    return {**_place(each), "protocol": each.protocol}


def _place(each: Served | Endpoint) -> dict[str, str]:
    return {"address": each.address, "port": str(each.port), "site": each.site}


def _by(
    name: str,
    kind: str,
    help: str,
    labels: tuple[str, ...],
    values: Mapping[Any, float],
) -> Family:
    """Values by tuples of what the labels are."""
    return Family(
        name,
        kind,
        help,
        tuple(Sample(dict(zip(labels, key, strict=True)), value) for key, value in values.items()),
    )
