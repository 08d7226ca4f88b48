"""Until when something is mended: by the table, never longer, and unknown where it says nothing."""

import re

import pytest

from mailseal.assets import LINES
from mailseal.assets.support import BELIEVED_DAYS, is_of_distribution, of_distribution, of_makers
from mailseal.model.asset import Standing
from mailseal.model.local import Package, Software
from mailseal.model.moment import seconds

DAY = re.compile(r"\d{4}-\d\d-\d\d")


def at(day: str) -> float:
    return seconds(day + "T12:00:00.000Z")


NOW = at("2026-11-21")


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.product}-{line.version}")
def test_each_line_has_its_source_and_day_and_is_reached(line):
    assert line.source
    assert DAY.fullmatch(line.checked)
    assert all(DAY.fullmatch(each) for each in (line.until, line.extended) if each)
    assert bool(line.extended) == bool(line.by)
    assert not line.extended or line.until < line.extended
    if line.product in ("debian", "ubuntu"):
        system = Software(f"{line.product} {line.version}", "x")
        said = of_distribution(system, Package("x", "1", line.product.title(), "main"), NOW)
    else:
        said = of_makers(line.product, (line.version or "1") + ".7-x", NOW)
    assert said.source == line.source


@pytest.mark.parametrize(
    ("distribution", "day", "standing"),
    [
        ("debian 12", "2026-07-11", Standing.SUPPORTED),
        ("debian 12", "2026-07-12", Standing.EXTENDED),
        ("debian 12", "2028-06-30", Standing.EXTENDED),
        ("debian 12", "2028-07-01", Standing.ENDED),
        ("debian 11", "2026-11-21", Standing.ENDED),
        ("debian", "2026-11-21", Standing.UNKNOWN),
        ("debian 1", "2026-11-21", Standing.UNKNOWN),
        ("debian 120", "2026-11-21", Standing.UNKNOWN),
        ("gentoo 2", "2026-11-21", Standing.UNKNOWN),
        ("", "2026-11-21", Standing.UNKNOWN),
        ("ubuntu 25.04", "2026-01-15", Standing.SUPPORTED),
        ("ubuntu 25.04", "2026-01-16", Standing.ENDED),
    ],
)
def test_a_distribution(distribution: str, day: str, standing: Standing):
    system = Software(distribution, distribution)
    assert of_distribution(system, Package("x", "1", "x", "main"), at(day)).standing is standing


def test_ubuntu_promises_nothing_of_universe():
    system = Software("ubuntu 24.04", "Ubuntu 24.04.3 LTS")
    main = of_distribution(system, Package("postfix", "1", "Ubuntu", "main"), NOW)
    universe = of_distribution(system, Package("stunnel4", "1", "Ubuntu", "universe"), NOW)
    assert (main.standing, universe.standing) == (Standing.SUPPORTED, Standing.UNKNOWN)
    assert "Ubuntu Pro" in universe.why
    pro = of_distribution(system, Package("stunnel4", "1", "UbuntuESMApps", "main"), NOW)
    assert pro.standing is Standing.SUPPORTED


@pytest.mark.parametrize(
    ("name", "version", "standing"),
    [
        ("Dovecot", "2.2.36", Standing.ENDED),
        ("Dovecot", "2.3.21", Standing.UNKNOWN),
        ("Dovecot", "2.4.1", Standing.SUPPORTED),
        ("Dovecot", "2.20", Standing.UNKNOWN),
        ("Dovecot", "", Standing.UNKNOWN),
        ("dovecot-core", "2.2.36+x", Standing.ENDED),
        ("Cyrus IMAP", "2.4.17", Standing.ENDED),
        ("Cyrus IMAP", "3.6.1", Standing.ENDED),
        ("Cyrus pop3d", "3.12.0", Standing.SUPPORTED),
        ("Exim", "4.9", Standing.ENDED),
        ("Exim", "4.94.2", Standing.ENDED),
        ("Exim", "4.99.1", Standing.UNKNOWN),
        ("Postfix smtpd", "", Standing.UNKNOWN),
        ("Postfix", "3.6.4", Standing.ENDED),
        ("Qpopper", "4.1.0", Standing.ENDED),
        ("UW", "", Standing.ENDED),
        ("uwsgi", "2.0", Standing.UNKNOWN),
        ("Courier", "5.0", Standing.UNKNOWN),
        ("stunnel4", "5.68", Standing.UNKNOWN),
        ("popa3d (probably)", "", Standing.UNKNOWN),
        ("(.*", "[", Standing.UNKNOWN),
    ],
)
def test_its_makers(name: str, version: str, standing: Standing):
    assert of_makers(name, version, NOW).standing is standing


def test_a_line_that_promises_nothing_dated_is_not_believed_for_ever():
    later = NOW + (BELIEVED_DAYS + 1) * 86400
    said = of_makers("Dovecot", "2.4.1", later)
    assert said.standing is Standing.UNKNOWN
    assert "too long ago" in said.why


@pytest.mark.parametrize(
    ("distribution", "vendor", "own"),
    [
        ("debian 12", "Debian", True),
        ("debian 12", "", False),
        ("debian 12", "Dovecot", False),
        ("ubuntu 24.04", "UbuntuESMApps", True),
        ("rocky 9.4", "Rocky Enterprise Software Foundation", True),
        ("gentoo 2", "Gentoo", False),
    ],
)
def test_whose_a_package_is(distribution: str, vendor: str, own: bool):
    assert is_of_distribution(Software(distribution), Package("x", "1", vendor)) is own
