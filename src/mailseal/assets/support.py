"""Until when releases are mended: a table, and the two questions it answers.

Strategy: a line is a product, the beginning of its version, and what its makers have published,
with where and when it was read. A line that promises nothing dated is believed for a year. What no
line covers is unknown, and said to be.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mailseal.model.asset import Standing, Support
from mailseal.model.local import Package, Software
from mailseal.model.moment import rfc3339, seconds

BELIEVED_DAYS = 365
"""A line that says supported, without until when, holds for so long after it was read."""


class Line(NamedTuple):
    """`product` as in os-release(5) or in `daemons`, in lower case. `version`: its first parts;
    empty: every version. `until` is the last day of the makers' own support, empty: none is named
    (`ended` says which way). `extended`: that of others, `by` whom.
    """

    product: str
    version: str
    until: str
    source: str
    checked: str
    extended: str = ""
    by: str = ""
    ended: bool = True


_DISTRO_INFO = "https://salsa.debian.org/debian/distro-info-data (0.58+deb12u7)"
_LTS, _PRO = "Debian LTS", "Ubuntu Pro (ESM), for who has it"
_POSTFIX = "https://www.postfix.org/announcements.html"
_EXIM = "https://github.com/Exim/exim/wiki/EximReleasePolicy: the latest release alone"
_DOVECOT = "https://endoflife.date/dovecot, after the dovecot-news announcement of the lifecycle"
_CYRUS = "https://github.com/cyrusimap/cyrus-imapd/blob/master/SECURITY.md"
_READ = "2026-11-21"

LINES: tuple[Line, ...] = (
    # Distributions.
    Line("debian", "8", "2018-06-17", _DISTRO_INFO, _READ, "2020-06-30", _LTS),
    Line("debian", "9", "2020-07-18", _DISTRO_INFO, _READ, "2022-06-30", _LTS),
    Line("debian", "10", "2022-09-10", _DISTRO_INFO, _READ, "2024-06-30", _LTS),
    Line("debian", "11", "2024-08-14", _DISTRO_INFO, _READ, "2026-08-31", _LTS),
    Line("debian", "12", "2026-07-11", _DISTRO_INFO, _READ, "2028-06-30", _LTS),
    Line("debian", "13", "2028-08-09", _DISTRO_INFO, _READ, "2030-06-30", _LTS),
    Line("ubuntu", "16.04", "2021-04-30", _DISTRO_INFO, _READ, "2026-04-23", _PRO),
    Line("ubuntu", "18.04", "2023-05-31", _DISTRO_INFO, _READ, "2028-04-26", _PRO),
    Line("ubuntu", "20.04", "2025-05-29", _DISTRO_INFO, _READ, "2030-04-23", _PRO),
    Line("ubuntu", "22.04", "2027-06-01", _DISTRO_INFO, _READ, "2032-04-21", _PRO),
    Line("ubuntu", "24.04", "2029-05-31", _DISTRO_INFO, _READ, "2034-04-25", _PRO),
    Line("ubuntu", "25.04", "2026-01-15", _DISTRO_INFO, _READ),
    Line("ubuntu", "25.10", "2026-07-09", _DISTRO_INFO, _READ),
    Line("ubuntu", "26.04", "2031-05-29", _DISTRO_INFO, _READ, "2036-04-23", _PRO),
    Line("ubuntu", "26.10", "2027-07-15", _DISTRO_INFO, _READ),
    # Daemons. Courier, popa3d and stunnel have no line: their makers have published no term that
    # was found.
    Line("qpopper", "", "", "https://www.eudora.com/products/unsupported/qpopper/", _READ),
    Line("uw", "", "2008-05-31", "https://en.wikipedia.org/wiki/UW_IMAP", _READ),
    Line("dovecot", "2.0", "2013-04-11", _DOVECOT, _READ),
    Line("dovecot", "2.1", "2017-12-22", _DOVECOT, _READ),
    Line("dovecot", "2.2", "2025-01-24", _DOVECOT, _READ),
    Line("dovecot", "2.4", "", _DOVECOT, _READ, ended=False),
    Line("cyrus", "2", "", _CYRUS, _READ),
    *(Line("cyrus", "3.%d" % minor, "", _CYRUS, _READ) for minor in range(0, 12, 2)),
    Line("cyrus", "3.12", "", _CYRUS, _READ, ended=False),
    Line("postfix", "2", "2018-02-21", _POSTFIX, _READ),
    Line("postfix", "3.0", "2019-02-27", _POSTFIX, _READ),
    Line("postfix", "3.1", "2020-03-15", _POSTFIX, _READ),
    Line("postfix", "3.2", "2021-04-29", _POSTFIX, _READ),
    Line("postfix", "3.3", "2022-02-05", _POSTFIX, _READ),
    Line("postfix", "3.4", "2023-04-17", _POSTFIX, _READ),
    Line("postfix", "3.5", "2024-03-06", _POSTFIX, _READ),
    Line("postfix", "3.6", "2025-02-16", _POSTFIX, _READ),
    *(Line("exim", "4.%d" % minor, "", _EXIM, _READ) for minor in range(91)),
    Line("exim", "4.91", "2019-02-10", _EXIM, _READ),
    Line("exim", "4.92", "2019-12-08", _EXIM, _READ),
    Line("exim", "4.93", "2020-06-01", _EXIM, _READ),
    Line("exim", "4.94", "2021-09-28", _EXIM, _READ),
    Line("exim", "4.95", "2022-06-25", _EXIM, _READ),
    Line("exim", "4.96", "2023-11-04", _EXIM, _READ),
    Line("exim", "4.97", "2024-07-10", _EXIM, _READ),
    Line("exim", "4.98", "2025-10-28", _EXIM, _READ),
)


_COMMUNITY = ("universe", "multiverse")
"""Parts of Ubuntu's archive of which Canonical promises nothing without Ubuntu Pro."""


def of_distribution(system: Software, package: Package, now: float) -> Support:
    """Who mends a package that is the distribution's own."""
    product, _, version = system.distribution.partition(" ")
    title = system.title or system.distribution
    if package.vendor == "Ubuntu" and package.component in _COMMUNITY:
        why = f"{package.component} of {title} is mended for sure with Ubuntu Pro (ESM) alone"
        return Support(Standing.UNKNOWN, why)
    line = _line(product, version)
    if line is None:
        return Support(Standing.UNKNOWN, f"until when {title} is mended is not known here")
    return _support(line, title, now)


_VENDORS = {
    "almalinux": "AlmaLinux",
    "centos": "CentOS",
    "debian": "Debian",
    "fedora": "Fedora Project",
    "rhel": "Red Hat, Inc.",
    "rocky": "Rocky Enterprise Software Foundation",
    "ubuntu": "Ubuntu",
}
"""ID of os-release(5) to how its archive's name begins: apt's Origin, rpm's Vendor."""


def is_of_distribution(system: Software, package: Package) -> bool:
    """Whether a package is the distribution's own, as far as is known."""
    vendor = _VENDORS.get(system.distribution.partition(" ")[0])
    return vendor is not None and package.vendor.startswith(vendor)


def of_makers(name: str, version: str, now: float) -> Support:
    """What the makers of a program say of a version, which may have more behind it
    (2.3.19.1+dfsg1).
    """
    found = (each for each in _MAKERS if re.match(each + "(?![a-z])", name.lower()))
    product = next(found, "")
    line = _line(product, version)
    what = f"{name} {version}".strip()
    if line is None:
        return Support(Standing.UNKNOWN, f"until when its makers mend {what} is not known here")
    return _support(line, what, now)


_MAKERS = tuple(dict.fromkeys(each.product for each in LINES if each.product not in _VENDORS))


def _line(product: str, version: str) -> Line | None:
    """Of those whose version it begins with the longest."""
    fits = [
        each
        for each in LINES
        if each.product == product
        and (not each.version or re.match(re.escape(each.version) + r"(?![0-9])", version))
    ]
    return max(fits, key=lambda each: len(each.version), default=None)


def _support(line: Line, what: str, now: float) -> Support:
    today = rfc3339(now)[:10]
    source = (line.source, line.checked)
    if line.until and today <= line.until:
        return Support(Standing.SUPPORTED, f"{what}, until {line.until}", line.until, *source)
    if line.extended and today <= line.extended:
        why = f"{what}, ended {line.until}; {line.by} until {line.extended}"
        return Support(Standing.EXTENDED, why, line.extended, *source)
    last = line.extended or line.until
    if line.ended:
        return Support(
            Standing.ENDED, f"{what} ended" + (f" {last}" if last else ""), last, *source
        )
    believed = seconds(line.checked + "T00:00:00.000Z") + BELIEVED_DAYS * 86400
    if now <= believed:
        return Support(Standing.SUPPORTED, f"{what}, as of {line.checked}", "", *source)
    why = f"{what} was supported on {line.checked}; that is too long ago to tell"
    return Support(Standing.UNKNOWN, why, "", *source)
