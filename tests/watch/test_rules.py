"""The alert rules for Prometheus, judged by promtool over expositions of the real metrics: each
alert is raised by what it is for and by nothing else, and says what to do next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailseal import rules
from mailseal.model.finding import Severity
from mailseal.model.look import Endpoint
from mailseal.model.moment import rfc3339
from mailseal.model.policy import Deviation, Exemption, State
from mailseal.model.watching import Ledger, Notice, Served
from mailseal.watch import figures
from mailseal.watch.metrics import Family, exposition
from tests.watch.promtool import END, EXPRESSION, alerts, judged, ran, scraped
from tests.watch.receivers import notice

NOW = 1_800_000_000.0
DAY = 86400.0
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(figures.rules())["groups"]
    for rule in group["rules"]
}
SEALED = Served(
    address="192.0.2.7",
    port=109,
    site="default",
    protocol="pop2",
    name="",
    verdict="refused",
    last=rfc3339(NOW - 600),
    expires=rfc3339(NOW + 90 * DAY),
)
ROUND = figures.Figures(newest=NOW - 600, looked=NOW - 600, interval=3600)


def exempt(days: float) -> tuple[Exemption, ...]:
    last = rfc3339(NOW + days * DAY)[:10]
    return (Exemption(("192.0.2.8",), "", (), ("tls-version",), last, "mail team", "archive"),)


def families(
    served: Iterable[Served] = (SEALED,),
    broken: Iterable[Deviation] = (),
    exceptions: Iterable[Exemption] = exempt(100),
    counted: figures.Figures = ROUND,
    failures: Mapping[tuple[str, str, str], int] | None = None,
    waiting: tuple[Notice, ...] = (),
) -> list[Family]:
    return [
        *figures.of_watch(counted, {"chat": Ledger({}, waiting)}),
        figures.of_logs(failures or {}),
        *figures.of_services(served),
        *figures.of_policy(exceptions, broken),
    ]


def told(**changes: Any) -> str:
    return exposition(families(**changes))


def broken(rule: str, state: State = State.NEW) -> tuple[Deviation, ...]:
    at = Endpoint(SEALED.address, SEALED.port, SEALED.site)
    return (Deviation("1", rule, state, Severity.HIGH, at, ""),)


def excused(rule: str) -> tuple[Deviation, ...]:
    return broken(rule, State.EXEMPT)


def failing(count: int) -> dict[tuple[str, str, str], int]:
    """Of two reasons, which are counted together."""
    service = ("192.0.2.7:995", "pop3")
    return {(*service, "old version"): count // 2, (*service, "no shared cipher"): count // 2}


LOGIN = "pop3-cleartext-login"
CLEAN = told()
GONE = (replace(SEALED, verdict="absent", gone="refused"),)
SOON = (replace(SEALED, expires=rfc3339(NOW + 9.5 * DAY)),)
UNDECIDED = replace(ROUND, states={"undecided": 2})
LATE = replace(ROUND, looked=NOW - 2.5 * 3600)
FIRES: dict[str, tuple[str | tuple[int, str], ...]] = {
    "MailsealCleartextLogin": (told(broken=broken(LOGIN)),),
    "MailsealCertificateEnds": (told(served=SOON, broken=broken("certificate-days")),),
    "MailsealServiceGone": (told(served=GONE, broken=broken("service-gone")),),
    "MailsealDeviation": (told(broken=broken("tls-version", State.EXPIRED)),),
    "MailsealUndecided": (told(counted=UNDECIDED),),
    "MailsealTlsClientsFail": ((280, told(failures=failing(20))), told(failures=failing(100))),
    "MailsealExceptionEndsSoon": (told(exceptions=exempt(10)),),
    "MailsealExceptionEnded": (told(exceptions=exempt(-3)),),
    "MailsealWatchLate": (told(counted=LATE),),
    "MailsealWatchGone": ((150, CLEAN), ""),
    "MailsealAlertsWait": (told(waiting=(notice(),)),),
}
SILENT: dict[str, tuple[str | tuple[int, str], ...]] = {
    "what the policy lets pass": (
        told(
            served=SOON,
            broken=[*excused(LOGIN), *excused("certificate-days"), *excused("tls-version")],
        ),
    ),
    "a certificate that lasts as the policy wants it": (told(served=SOON),),
    "a service that may be gone": (told(served=GONE, broken=excused("service-gone")),),
    "one round that could not tell": ((120, CLEAN), told(counted=UNDECIDED)),
    "clients that failed long ago": (told(failures=failing(1000)),),
    "a restart, which begins to count anew": (
        (290, told(failures=failing(1000))),
        told(failures=failing(2)),
    ),
    "few clients that fail": ((280, CLEAN), told(failures=failing(40))),
    "a watch that is started again": ((280, CLEAN), (10, ""), CLEAN),
    "the first round, which still goes on": (
        (200, ""),
        told(served=(), counted=figures.Figures(looked=NOW - 6060, interval=3600)),
    ),
    "notices that were delivered": ((280, told(waiting=(notice(),))), CLEAN),
    "an exception that holds for longer": (told(exceptions=exempt(15)),),
}


def test_a_clean_world_raises_nothing(tmp_path: Path):
    assert alerts(tmp_path, CLEAN, now=NOW, fire=set()) == ""


@pytest.mark.parametrize("name", FIRES)
def test_each_alert_is_raised_by_what_it_is_for_alone(tmp_path: Path, name: str):
    assert alerts(tmp_path, *FIRES[name], now=NOW, fire={name}) == ""


@pytest.mark.parametrize("what", SILENT)
def test_nothing_is_raised_by(tmp_path: Path, what: str):
    assert alerts(tmp_path, *SILENT[what], now=NOW, fire=set()) == ""


def test_every_rule_is_raised_here():
    assert FIRES.keys() == ALERTS.keys()


def test_a_first_failure_of_many_counts_though_its_counter_is_new(tmp_path: Path):
    phases = (280, CLEAN), told(failures=failing(100))
    assert alerts(tmp_path, *phases, now=NOW, fire={"MailsealTlsClientsFail"}) == ""


def test_what_is_new_and_what_is_still_so_is_one_alert():
    """It is not taken back and raised again, one round later."""
    both = [told(broken=broken(LOGIN, state)) for state in (State.NEW, State.UNCHANGED)]
    assert both[0] == both[1]


def test_on_its_last_day_an_exception_has_not_ended(tmp_path: Path):
    text = told(exceptions=exempt(0))
    assert alerts(tmp_path, text, now=NOW, fire={"MailsealExceptionEndsSoon"}) == ""


def test_a_deviation_has_the_severity_of_its_rule(tmp_path: Path):
    for name in ("MailsealCleartextLogin", "MailsealCertificateEnds", "MailsealDeviation"):
        assert "severity" not in ALERTS[name].get("labels", {})
        series = scraped([(END + 1, str(FIRES[name][0]))], NOW)
        wanted = {"labels": f'{{alertname="{name}", severity="high"}}', "value": 1}
        firing = 'group by (alertname, severity) (ALERTS{alertstate="firing"})'
        assert judged(tmp_path, series, EXPRESSION, expr=firing, exp_samples=[wanted]) == ""


def test_every_other_alert_has_one_of_our_severities():
    own = {each.value for each in Severity}
    given = [rule["labels"]["severity"] for rule in ALERTS.values() if "labels" in rule]
    assert set(given) <= own
    assert len(given) == len(ALERTS) - 3


def test_every_metric_and_label_of_the_rules_is_there():
    everything = families(
        broken=broken(LOGIN), failures=failing(2), counted=replace(ROUND, states={"new": 1})
    )
    labels = {each.name: {*each.samples[0].labels, "instance"} for each in everything}
    for name, rule in ALERTS.items():
        used = set(re.findall(r"\bmailseal_\w+", rule["expr"]))
        assert used
        assert used <= labels.keys(), name
        known = set().union(*(labels[each] for each in used))
        for words in rule["annotations"].values():
            assert set(re.findall(r"\$labels\.(\w+)", words)) <= known, (name, words)


def test_rules_that_are_picked_out_by_name_are_rules():
    named = re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)+", ALERTS["MailsealDeviation"]["expr"])
    own = {"cleartext-login", "certificate-days", "service-gone"}
    assert {each.strip(".+-") for each in named} - own <= rules.BY_ID.keys()


def test_an_alert_says_where_it_is_and_what_to_do(tmp_path: Path):
    name = "MailsealCertificateEnds"
    labels = {
        "address": "192.0.2.7",
        "port": "109",
        "site": "default",
        "protocol": "pop2",
        "severity": "high",
        "instance": "monitor:9109",
        "job": "mailseal",
    }
    said = {
        "summary": "The certificate of 192.0.2.7 port 109: 9.5 days left",
        "description": "Renew it (docs: renew-certificates), then see that the new one is served: "
        "`mailseal verify 192.0.2.7:109`.",
    }
    wanted = [{"exp_labels": labels, "exp_annotations": said}]
    series = scraped([(END + 1, str(FIRES[name][0]))], NOW)
    assert judged(tmp_path, series, "alert_rule_test", alertname=name, exp_alerts=wanted) == ""


def test_promtool_takes_the_rules(tmp_path: Path):
    path = tmp_path / "rules.yml"
    path.write_text(figures.rules())
    done = ran("check", "rules", "--lint-fatal", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout
    path.write_text(figures.rules().replace("unless on", "unles on", 1))
    assert ran("check", "rules", str(path)).returncode != 0


def test_promtool_takes_the_metrics():
    text = told(
        served=(SEALED, *GONE), broken=broken(LOGIN), failures=failing(2), waiting=(notice(),)
    )
    done = ran("check", "metrics", data=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ran("check", "metrics", data=text + "mailseal_x{ 1\n").returncode != 0
