"""A unit that starts stunnel with few open files.

stunnel 5.68 allows 125 clients for 256 files of the soft limit (tried: "Clients allowed=500" with
1024); systemd's default soft limit is 1024 (DefaultLimitNOFILE= in systemd-system.conf(5)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import systemd
from mailseal.lint.base import Hit, Rule
from mailseal.lint.service_stunnel_restart import started
from mailseal.model.finding import Severity

DEFAULT = 1024


def check(document: systemd.Document) -> Iterator[Hit]:
    own = [each for each in document.options("Service", "LimitNOFILE") if each.value.text]
    soft = re.match(r"\d{1,9}(?=:|$)", own[-1].value.text) if own else None
    limit = int(soft[0]) if soft else DEFAULT
    if limit > DEFAULT or (own and not soft):
        return
    for option, path in started(document):
        place = own[-1].value.span if own else option.value.span
        yield Hit(place, f"{path} takes some {limit * 125 // 256} clients at a time")


RULE = Rule(
    id="service-stunnel-files",
    title="stunnel takes few clients at a time",
    severity=Severity.MEDIUM,
    kind="service",
    why=(
        "stunnel takes as many clients as it has files for: 500 with systemd's limit of 1024. "
        "Whoever keeps so many connections open keeps everybody else out."
    ),
    fix=(
        "Write LimitNOFILE=65536 into [Service], or into a drop-in: `systemctl edit UNIT`. A "
        "drop-in that is there already is not seen here."
    ),
    check=check,
    whole=True,
)
