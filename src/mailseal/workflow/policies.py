"""The file of the seal policy: read for whoever judges by it, written from what is known.

Strategy: what can be asked for is what the rooms of rules, lint and daemons have, so the file is
held against them here.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Container, Iterator

from mailseal import lint, rules
from mailseal.daemons import DAEMONS
from mailseal.model.asset import Terms
from mailseal.model.finding import Verdict
from mailseal.model.moment import Clock, rfc3339
from mailseal.model.policy import CLEARTEXT, SealPolicy
from mailseal.model.target import DEFAULT_PORTS
from mailseal.policy.places import place
from mailseal.policy.seal import LIMIT, BadPolicy, Known, parse
from mailseal.store import Filter, Store
from mailseal.workflow import BadInput

DEFAULT = "mailseal.toml"
"""Where it is looked for: in the folder that mailseal is run in."""
TARGETS = 256
"""Hosts that a new file names; the addresses of more are written as networks."""
MOST = 1024
"""Targets that it has room for."""
PLACES = 16
"""Places of one rule that a new file suggests to except."""

KNOWN = Known(
    rules=tuple(rules.BY_ID),
    file_rules=tuple(lint.BY_ID),
    products=tuple(each.title.partition(" (")[0] for each in DAEMONS if each.title),
)


def load(path: str) -> SealPolicy:
    """The policy of a file. Raises BadInput."""
    try:
        with open(path, "rb") as file:
            return parse(file.read(LIMIT + 1), path, KNOWN)
    except FileNotFoundError:
        words = "`mailseal policy init` writes one, --policy names another"
        raise BadInput(f"there is no policy {path}: {words}") from None
    except OSError as error:
        raise BadInput(f"the policy {path} cannot be read: {error.strerror}") from None
    except BadPolicy as error:
        raise BadInput(f"the policy {error}") from None


def terms(path: str | None) -> Terms:
    """When updates and reviews are due, as the policy of a file says. Raises BadInput."""
    return terms_of(None if path is None else load(path))


def terms_of(policy: SealPolicy | None) -> Terms:
    """The same of a policy; as usual without one."""
    if policy is None:
        return Terms()
    return Terms(policy.patch_days_security, policy.patch_days_ordinary, policy.review_days)


def looked_at(policy: SealPolicy, ports: Container[int]) -> tuple[str, ...]:
    """The targets, and the services that no look at them comes by; `ports` are those of a target
    that names none.
    """
    targets = tuple(map(place, policy.targets))

    def covered(word: str) -> bool:
        at = place(word)
        return any(each.covers(at) and (each.port or at.port in ports) for each in targets)

    return (*policy.targets, *(each for each in policy.services if not covered(each)))


# -- a new one -------------------------------------------------------------------------------------


def init(store: Store, site: str = "", now: Clock = time.time) -> str:
    """A policy from what is known, as text that `load` takes. Raises StoreError."""
    hosts: set[str] = set()
    odd: dict[str, None] = {}  # What a look at the host would not come by.
    sealed: dict[str, None] = {}
    open_: dict[str, list[str]] = defaultdict(list)
    for known in store.standing(Filter(site=site)):
        host = _word(known.name) or _word(known.endpoint.address)
        hosts.add(host)
        where = _word(f"{known.name}:{known.endpoint.port}") or _word(str(known.endpoint))
        if known.verdict and known.verdict.assessment.verdict is Verdict.REFUSED and where:
            sealed[where] = None
        if known.endpoint.port not in DEFAULT_PORTS and where:
            odd[where] = None
        for finding in known.findings:
            open_[finding.rule].append(where if len(open_[finding.rule]) < PLACES else "")
    day, services = rfc3339(now())[:10], list(sealed)[:TARGETS]
    targets = (_targets(hosts) + [each for each in odd if each not in services])[:MOST]
    return "\n".join([*_head(day, targets, services), *_suggested(open_)]) + "\n"


def _word(text: str) -> str:
    """The text where it can stand in a policy: names come from whoever was asked for them."""
    try:
        return "" if text.startswith("*") or not place(text) else text
    except ValueError:
        return ""


def _head(day: str, targets: list[str], services: list[str]) -> Iterator[str]:
    yield from _TEXT.format(
        day=day,
        terms=Terms(),
        targets=_list("targets", targets) or '# targets = ["mail.example"]',
        services=_list("services", services) or '# services = ["mail.example:110"]',
        rules=_list("rules", list(KNOWN.listed)),
    ).splitlines()


def _list(name: str, words: list[str]) -> str:
    lines = [f"{name} = [", *(f"  {_quoted(each)}," for each in words), "]"]
    return "\n".join(lines) if words else ""


_TEXT = """\
# What this site asks of its mail services. Keep it in Git; `mailseal check` holds what is known
# against it. Written by `mailseal policy init` on {day}; docs/reference/policy.md has each key.

# What `mailseal check` looks at where it is given no target.
{targets}

# What must answer there: a service that is gone deviates. Take out what is to be turned off.
{services}

# A look that is older than so many days answers nothing.
look-days = 7

# No service takes a password in cleartext.
cleartext-logins = false

# The oldest TLS version that a service may accept: 1.0, 1.1, 1.2, 1.3, or none for any.
tls-min-version = "1.2"

# A certificate ends in so many days at the earliest; 0 asks for none.
certificate-days = 21

# Further rules that are to be kept; docs/rules has a page for each.
{rules}

# Faults of configuration files (`mailseal check --config DIR`) count from this severity upwards.
lint-severity = "medium"

# Days within which updates are to be installed and an endpoint is to be reviewed again, as
# `findings`, `local` and `report` tell with --policy.
patch-days-security = {terms.security}
patch-days-ordinary = {terms.ordinary}
review-days = {terms.review}

# Products may not be older than this. Distributions mend old versions: ask for one that yours has.
# [least-versions]
# Dovecot = "2.3.19"

# Of some endpoints something else may be asked; what is left out holds as above.
# [[section]]
# targets = ["192.0.2.0/24", "*.example.org"]
# tls-min-version = "1.3"

# What is let pass, until when, and who answers for it. `until` is the last day.
# [[exception]]
# targets = ["192.0.2.7:109"]
# rules = ["pop2-cleartext-login"]
# until = 2027-03-31
# owner = "mail team"
# reason = "the archive's clients are replaced in March"
"""


def _suggested(open_: dict[str, list[str]]) -> Iterator[str]:
    """What is broken now, as exceptions that wait for an end, an owner and a reason."""
    if open_:
        yield ""
        yield "# Broken now: `mailseal plan` mends it. What must wait is excepted here; fill it in."
    for rule in sorted(open_, key=lambda each: (not each.endswith(CLEARTEXT), each)):
        places = [each for each in open_[rule] if each]
        more = len(open_[rule]) - len(places)
        yield "#"
        yield "# [[exception]]"
        yield f"# targets = [{', '.join(map(_quoted, places))}]" + (
            f"  # and {more} more" if more else ""
        )
        yield f"# rules = [{_quoted(rule)}]"
        yield "# until = "
        yield "# owner = "
        yield "# reason = "


def _targets(hosts: set[str]) -> list[str]:
    """Names and addresses; of very many the networks of the addresses."""
    addresses = {each: place(each).network for each in hosts if each}
    names = sorted(each for each, network in addresses.items() if network is None)
    found = {network for network in addresses.values() if network is not None}
    if len(names) + len(found) > TARGETS:
        found = {each.supernet(new_prefix=_WIDE[each.version]) for each in found}
    listed = [*names, *map(str, sorted(found, key=lambda each: (each.version, each)))]
    return [each.removesuffix("/32").removesuffix("/128") for each in listed]


_WIDE = {4: 24, 6: 64}


def _quoted(text: str) -> str:
    return f'"{text}"'
