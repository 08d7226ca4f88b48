"""Software and updates in words: nothing empty where it could not be told, nothing harmful."""

from dataclasses import replace

import pytest

from mailseal.model.asset import Asset, PendingUpdate, Product, Standing, Support
from mailseal.model.local import Extent
from mailseal.model.look import Endpoint
from mailseal.report.assets import (
    FORMS,
    AssetSum,
    Ranked,
    cells,
    facts,
    lines,
    ranked_words,
    row,
    standing,
    text,
)
from mailseal.report.local import text as local_text
from mailseal.report.style import PLAIN
from tests.report.make import HOSTILE
from tests.report.status import asset as hostile_asset
from tests.report.test_local import LISTENER, host

SUPPORTED = Support(Standing.SUPPORTED, "Debian 13, until 2028-08-09", "2028-08-09")
EXTENDED = Support(Standing.EXTENDED, "Debian 12")
CLEAN = Asset(
    endpoint=Endpoint("192.0.2.7", 109),
    name="mail.example",
    products=(Product("dovecot-core", "1:2.4", "package", SUPPORTED),),
    updates=(),
    review=None,
    review_due="",
    host="mail",
    taken="2026-01-15T12:00:00.000Z",
    fresh="2026-01-14T12:00:00.000Z",
    gaps=(),
)
SINCE = "2026-01-10T12:00:00.000Z"
UPDATE = PendingUpdate("dovecot-core", "1:2.4", "1:2.5", True, SINCE, "2026-01-24", False)
ORDINARY = replace(UPDATE, package="x", security=False, due="2026-04-10", blocked="it is on hold")


def test_what_is_up_to_date_says_by_which_lists():
    assert cells(CLEAN) == (
        "192.0.2.7:109", "supported", "none known", "-", "never", "dovecot-core 1:2.4",
    )  # fmt: skip
    assert dict(facts(CLEAN)) == {
        "software": ("dovecot-core 1:2.4 (package)",),
        "support": ("supported: Debian 13, until 2028-08-09",),
        "updates": ("none known, by package lists of 2026-01-14",),
        "reviewed": ("never",),
        "not told": (),
    }


def test_updates_are_counted_by_kind_and_the_first_day_counts():
    both = replace(CLEAN, updates=(ORDINARY, UPDATE))
    assert cells(both)[2:4] == ("1 security, 1 ordinary", "2026-01-24")
    assert dict(facts(both))["updates"] == (
        "x 1:2.4 to 1:2.5, ordinary, due 2026-04-10 (first seen 2026-01-10);"
        " not by an upgrade: it is on hold",
        "dovecot-core 1:2.4 to 1:2.5, security, due 2026-01-24 (first seen 2026-01-10)",
    )
    late = replace(CLEAN, updates=(replace(UPDATE, overdue=True),))
    assert cells(late)[3] == "2026-01-24 overdue"
    assert "security, overdue since 2026-01-24" in dict(facts(late))["updates"][0]


def test_an_update_that_nobody_tells_apart():
    untold = replace(CLEAN, updates=(replace(UPDATE, security=None),))
    assert cells(untold)[2] == "1 security or not"
    assert "1:2.5, security or not, due" in dict(facts(untold))["updates"][0]


def test_what_could_not_be_told_is_never_none():
    doubt = replace(CLEAN, gaps=("updates: apt has no package lists",))
    assert cells(doubt)[2] == "could not tell"
    assert dict(facts(doubt))["updates"] == ()
    bare = replace(CLEAN, products=())
    assert (standing(bare), cells(bare)[-1]) == (Standing.UNKNOWN, "not known")
    assert row(bare)[2] == "not known"


@pytest.mark.parametrize(
    ("standings", "worst"),
    [
        ((Standing.SUPPORTED, Standing.EXTENDED), Standing.EXTENDED),
        ((Standing.UNKNOWN, Standing.EXTENDED), Standing.UNKNOWN),
        ((Standing.UNKNOWN, Standing.ENDED), Standing.ENDED),
    ],
)
def test_the_worst_product_counts(standings: tuple[Standing, ...], worst: Standing):
    products = tuple(Product("x", "", "package", Support(each, "")) for each in standings)
    assert standing(replace(CLEAN, products=products)) is worst


def test_the_list_ends_with_its_sum():
    total = AssetSum()
    ended = Product("UW", "", "banner", Support(Standing.ENDED, "UW ended"))
    listed = [
        replace(CLEAN, updates=(replace(UPDATE, overdue=True),)),
        replace(CLEAN, products=(ended,), endpoint=Endpoint("192.0.2.8", 109, "lab")),
        replace(CLEAN, gaps=("x",)),
    ]
    for each in listed:
        total.add(each)
    said = list(text(iter(listed), total))
    assert said[0].split() == ["ENDPOINT", "SUPPORT", "UPDATES", "DUE", "REVIEWED", "SOFTWARE"]
    assert said[2].startswith("192.0.2.8:109 in lab")
    assert said[-1] == (
        "3 endpoints: 1 with an overdue update, 1 with software that nobody mends,"
        " 1 where not all could be told"
    )
    assert total.exposed
    assert AssetSum().doubtful
    assert list(text(iter(()), AssetSum()))[-1].startswith("nothing is known there")


def test_hostile_text_does_not_get_through():
    asset = hostile_asset(HOSTILE)
    for form in FORMS.values():
        said = "\n".join(form(iter([asset]), AssetSum(), PLAIN))
        assert all(char.isprintable() or char == "\n" for char in said)
    assert all(each.isprintable() for each in lines(asset))
    found = host(LISTENER)
    assert all(each.isprintable() for each in local_text(found, software=(asset,)))


def test_local_tells_them_below_the_program_and_gaps_once():
    doubt = replace(CLEAN, updates=(UPDATE,), gaps=("updates: apt has no package lists",))
    silent = replace(LISTENER, listening=False, extent=Extent.LOOPBACK)
    said = list(local_text(host(LISTENER, LISTENER, silent), software=(doubt, doubt, None)))
    at = said.index("    support   supported: Debian 13, until 2028-08-09")
    assert said[at - 1] == "    unit      inetd.service"
    assert said[at + 1].startswith("    updates   dovecot-core 1:2.4 to 1:2.5, security, due")
    assert said[at + 2].startswith("    cause ")
    assert said.count("  updates   apt has no package lists") == 1
    assert sum(each.startswith("    support") for each in said) == 2


def test_the_report_says_how_many_are_listed():
    assert list(ranked_words(Ranked((CLEAN,), 2, "nothing is"))) == [
        "Nothing is.",
        "The 1 most urgent of them are listed.",
    ]
    assert list(ranked_words(Ranked((), 0, "x"))) == ["X."]
