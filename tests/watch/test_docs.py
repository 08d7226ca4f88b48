"""The pages of `watch` hold what the program does."""

from __future__ import annotations

import re

from mailseal.model.policy import SERVICE_GONE
from mailseal.model.watching import Ledger, Mail, Served, Syslog, Webhook
from mailseal.policy import alerts
from mailseal.watch import figures
from mailseal.workflow import heard, rounds
from tests.project.tree import ROOT

DOCS = ROOT / "docs"
HOWTO = (DOCS / "howto/keep-watch.md").read_text()


def cells(page: str) -> set[str]:
    """What stands in the first column of the page's tables."""
    text = (DOCS / page).read_text()
    return set(re.findall(r"^\| `(?:\[\[)?([\w.-]+)(?:\]\])?`", text, re.MULTILINE))


def test_the_alert_rules_that_the_page_shows_are_rules():
    (text,) = re.findall(r"```toml\n(.*?)```", HOWTO, re.DOTALL)
    ways = [each.way for each in alerts.parse(text.encode(), "the page").receivers[1:]]
    assert [type(way) for way in ways] == [Webhook, Mail, Syslog]


def test_every_key_is_on_the_page_and_no_other():
    keys = {*alerts._KEYS, *alerts._RECEIVER_KEYS}
    for own, _ in alerts._KINDS.values():
        keys |= own.keys()
    assert cells("reference/alerts.md") == (keys - {"quiet"}) | {"receiver.quiet"}


def test_every_metric_is_on_the_page_and_no_other():
    served = Served("192.0.2.7", 109, "default", "pop2", "", "refused", "", "")
    families = [
        *figures.of_watch(figures.Figures(), {"a": Ledger({})}),
        *figures.of_services([served]),
        *figures.of_policy((), ()),
        figures.of_logs({("a", "b", "c"): 1}),
    ]
    names = {family.name for family in families}
    assert cells("reference/metrics.md") == names
    shown = set(re.findall(r"\bmailseal_\w+", HOWTO))
    assert shown <= names


def test_every_rule_of_its_own_is_on_the_page():
    own = {SERVICE_GONE, rounds.BLIND, heard.CLIENTS_FAIL, heard.SEEN}
    assert own <= set(re.findall(r"`([a-z-]+)`", HOWTO))


def test_every_alert_is_on_the_page_and_no_other():
    assert set(re.findall(r"\bMailseal\w+", HOWTO)) == set(
        re.findall(r"alert: (\w+)", figures.rules())
    )
