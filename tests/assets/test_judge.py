"""An endpoint's software: who knows best, what is due when, and doubts that stay doubts."""

from dataclasses import replace

import pytest

from mailseal.assets import judge, urgency
from mailseal.model.asset import Asset, Installed, KnownSoftware, Review, Standing, Terms
from mailseal.model.local import Package, Program, Software
from mailseal.model.look import Endpoint
from mailseal.model.moment import rfc3339, seconds

NOW = seconds("2026-11-21T12:00:00.000Z")
AT = Endpoint("192.0.2.7", 143)
DOVECOT = Package("dovecot-core", "1:2.3.19.1+dfsg1-2.1+deb12u1", "Debian", "main")
SOFTWARE = Software(
    "debian 12",
    "Debian GNU/Linux 12 (bookworm)",
    "apt",
    "2026-11-20T00:00:00.000Z",
    (DOVECOT,),
)
INSTALLED = Installed(
    AT,
    "mail",
    rfc3339(NOW),
    (Program("/usr/sbin/dovecot", DOVECOT.name, DOVECOT.version),),
    SOFTWARE,
)


def installed(*packages: Package, **changes) -> Installed:
    return replace(INSTALLED, software=replace(SOFTWARE, packages=packages), **changes)


def made(there: Installed | None = None, banner: str = "", **more) -> Asset:
    return judge(KnownSoftware(AT, banner=banner, installed=there, **more), NOW)


def standings(asset: Asset) -> list[tuple[str, Standing | None]]:
    return [(str(p), p.support.standing if p.support else None) for p in asset.products]


def test_a_distribution_s_package_is_judged_by_the_distribution():
    # Its makers have given up 2.2; Debian mends what it ships.
    old = replace(DOVECOT, version="1:2.2.36-1")
    program = Program("/usr/sbin/dovecot", old.name, old.version)
    asset = made(installed(old, programs=(program,)), banner="Dovecot 2.2.36")
    assert standings(asset) == [
        ("dovecot-core 1:2.2.36-1", Standing.EXTENDED),
        ("Dovecot 2.2.36", None),
    ]
    assert not asset.ended


@pytest.mark.parametrize("vendor", ["example", ""])
def test_a_package_of_others_is_judged_by_its_makers(vendor: str):
    old = replace(DOVECOT, version="2:2.2.36-1", vendor=vendor)
    program = Program("/usr/sbin/dovecot", old.name, old.version)
    asset = made(installed(old, programs=(program,)))
    assert asset.ended
    unknown = replace(old, name="popa3d", version="1.0.3")
    asset = made(installed(unknown, programs=(Program("/usr/sbin/popa3d", "popa3d", "1.0.3"),)))
    (product,) = asset.products
    assert product.support is not None
    assert product.support.standing is Standing.UNKNOWN
    assert "not from Debian GNU/Linux 12" in product.support.why


def test_a_banner_alone_ends_nothing():
    asset = made(banner="Dovecot 2.2.36")
    ((_, standing),) = standings(asset)
    assert standing is Standing.UNKNOWN
    assert "`mailseal local` asks the host" in str(asset.products[0].support)
    assert asset.doubtful


def test_a_banner_alone_supports_nothing():
    ((_, standing),) = standings(made(banner="Dovecot 2.4.1"))
    assert standing is Standing.UNKNOWN


def test_what_answers_behind_another_program_is_a_doubt():
    stunnel = Package("stunnel4", "3:5.68", "Debian", "main")
    there = installed(stunnel, programs=(Program("/usr/bin/stunnel4", "stunnel4", "3:5.68"),))
    assert standings(made(there, banner="Dovecot 2.2.36")) == [
        ("stunnel4 3:5.68", Standing.EXTENDED),
        ("Dovecot 2.2.36", Standing.UNKNOWN),
    ]


def test_a_super_server_s_package_does_not_speak_for_what_it_starts():
    inetd = Package("openbsd-inetd", "0.2", "Debian", "main")
    programs = (
        Program("/usr/sbin/inetd", inetd.name, inetd.version),
        Program("/usr/local/sbin/ipop2d", "", ""),
    )
    asset = made(installed(inetd, programs=programs), banner="UW 2007f")
    assert [standing for _, standing in standings(asset)] == [
        Standing.EXTENDED,
        None,
        Standing.ENDED,
    ]


def test_a_program_of_no_package_is_judged_by_its_banner():
    program = Program("/usr/local/sbin/qpopper", "", "")
    asset = made(installed(programs=(program,)), banner="Qpopper 4.1.0")
    assert standings(asset) == [
        ("/usr/local/sbin/qpopper", None),
        ("Qpopper 4.1.0", Standing.ENDED),
    ]
    silent = made(installed(programs=(program,)))
    assert standings(silent) == [("/usr/local/sbin/qpopper", Standing.UNKNOWN)]


def test_what_another_tool_says_is_told_with_its_name():
    asset = made(reports=(("nmap", "Dovecot pop3d"),))
    assert [(each.name, each.by) for each in asset.products] == [("Dovecot pop3d", "nmap")]


@pytest.mark.parametrize(
    ("security", "days", "due", "overdue"),
    [
        (True, 14, "2026-11-21", False),
        (True, 15, "2026-11-20", True),
        (False, 15, "2027-02-04", False),
        (False, 91, "2026-11-20", True),
        (None, 15, "2026-11-20", True),
    ],
)
def test_the_day_is_counted_from_when_it_was_first_seen(
    security: bool | None, days: int, due: str, overdue: bool
):
    waiting = replace(DOVECOT, update="1:2.4", security=security)
    kind = "ordinary" if security is False else "security"
    since = {"%s %s" % (DOVECOT.name, kind): rfc3339(NOW - days * 86400)}
    (update,) = made(installed(waiting, since=since)).updates
    assert (update.due, update.overdue, update.security) == (due, overdue, security)


def test_the_terms_are_the_site_s():
    waiting = replace(DOVECOT, update="1:2.4", security=True)
    known = KnownSoftware(AT, installed=installed(waiting), review=Review(rfc3339(NOW), "root"))
    asset = judge(known, NOW, Terms(security=2, review=10))
    assert asset.updates[0].due == "2026-11-23"
    assert asset.review_due == "2026-12-01"


def test_what_could_not_be_told_is_a_doubt():
    assert made().gaps == ("updates: its host was not asked (mailseal local)",)
    assert made().doubtful
    old = rfc3339(NOW - 31 * 86400)
    assert made(installed(DOVECOT, taken=old)).gaps == (
        "updates: its host was last asked on 2026-10-21",
    )
    unlisted = replace(DOVECOT, unknown="it is in no package list")
    assert made(installed(unlisted)).gaps == ("updates of dovecot-core: it is in no package list",)
    assert not made(INSTALLED).doubtful


def test_the_most_urgent_come_first():
    late = {DOVECOT.name + " security": rfc3339(NOW - 99 * 86400)}
    ordinary = made(installed(replace(DOVECOT, update="2", security=False)))
    security = made(installed(replace(DOVECOT, update="2", security=True)))
    overdue = made(installed(replace(DOVECOT, update="2"), since=late))
    ended = made(installed(DOVECOT, programs=(Program("/x", "", ""),)), banner="UW")
    order = [overdue, ended, security, ordinary, made(), made(INSTALLED)]
    mixed = [order[number] for number in (3, 5, 0, 4, 2, 1)]
    assert sorted(mixed, key=urgency) == order
