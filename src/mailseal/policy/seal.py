"""The policy of a site's mail services: TOML in, `SealPolicy` out.

Strategy: a section has the keys of the whole file that say what is asked, and what it leaves out
holds as it stands there. What can never come about is refused: it would look as if it were asked.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from mailseal.model import target
from mailseal.model.asset import Terms
from mailseal.model.finding import Severity
from mailseal.model.policy import (
    CERTIFICATE_DAYS,
    CLEARTEXT,
    LEAST_VERSION,
    SERVICE_GONE,
    TLS_VERSION,
    UNDECIDED,
    Exemption,
    LeastVersion,
    Requirements,
    SealPolicy,
    Section,
)
from mailseal.policy.keys import (
    LIMIT,
    BadPolicy,
    Key,
    Keys,
    flag,
    number,
    parsed,
    possible,
    read,
    tables,
    texts,
)
from mailseal.policy.places import place

__all__ = ["LIMIT", "BadPolicy", "Known", "parse"]

VERSIONS = ("1.0", "1.1", "1.2", "1.3")
NONE = "none"
WORDS = 500
"""Characters of an owner or a reason, at most."""
_DAYS = 3650


class Known(NamedTuple):
    """What there is to ask for: ids of rules for services and for files, names of products."""

    rules: Collection[str]
    file_rules: Collection[str]
    products: Collection[str]

    @property
    def listed(self) -> tuple[str, ...]:
        """The rules without a key of their own: those that `rules` may name."""
        return tuple(each for each in self.rules if _key_of(each) is None)


def _key_of(rule: str) -> str | None:
    return "cleartext-logins" if rule.endswith(CLEARTEXT) else _KEYED.get(rule)


_KEYED = {
    TLS_VERSION: "tls-min-version",
    CERTIFICATE_DAYS: "certificate-days",
    LEAST_VERSION: "least-versions",
    SERVICE_GONE: "services",
}


def parse(text: bytes, source: str, known: Known) -> SealPolicy:
    """A policy from the bytes of its file; `source` says which file that is. Raises BadPolicy."""
    keys = {**_asked_keys(known, Requirements(rules=known.listed)), **_file_keys(known)}
    return parsed(text, source, keys, lambda values: _policy(values, known))


def _policy(values: dict[str, Any], known: Known) -> SealPolicy:
    asked = _requirements(values)
    tables_ = values.pop("sections")
    sections = tuple(_section(table, where, asked, known) for where, table in tables_)
    made = SealPolicy(asked=asked, sections=sections, **values)
    ordinary, security = made.patch_days_ordinary, made.patch_days_security
    possible(
        (
            (
                security > ordinary,
                "security patches would be due (patch-days-security) after ordinary ones "
                "(patch-days-ordinary)",
            ),
            *_nothing(asked, "the file"),
            *(
                each
                for at, one in enumerate(sections, 1)
                for each in _nothing(one.asked, "section %d" % at)
            ),
            *_unreached(sections),
            *_idle(made),
            *_twice(made.exceptions),
        )
    )
    return made


def _requirements(values: dict[str, Any]) -> Requirements:
    """Takes its fields out of `values`."""
    return Requirements(**{each.name: values.pop(each.name) for each in fields(Requirements)})


def _section(table: Mapping[str, Any], where: str, asked: Requirements, known: Known) -> Section:
    values = read({**_SECTION_KEYS, **_asked_keys(known, asked)}, table, where)
    own = _requirements(values)
    possible([(own == asked, "%sasks for nothing else than the whole file" % where)])
    return Section(asked=own, **values)


# -- contradictions --------------------------------------------------------------------------------


def _nothing(asked: Requirements, where: str) -> list[tuple[object, str]]:
    words = "%s asks for nothing: what is let pass is an [[exception]], with its end" % where
    return [(asked == Requirements(True, "", 0, (), ()), words)]


def _unreached(sections: tuple[Section, ...]) -> list[tuple[object, str]]:
    """Sections of which an earlier one has everything."""
    places = [(each.site, tuple(map(place, each.targets))) for each in sections]
    words = "section %d is never reached: all of it is in section %d before it"
    return [
        (True, words % (late + 1, early + 1))
        for late, (site, narrow) in enumerate(places)
        for early, (before, wide) in enumerate(places[:late])
        if before in ("", site) and all(any(w.covers(n) for w in wide) for n in narrow)
    ]


def _idle(policy: SealPolicy) -> list[tuple[object, str]]:
    """Exceptions from what nobody asks for."""
    every = [policy.asked, *(section.asked for section in policy.sections)]
    return [
        (
            not each.files and rule != UNDECIDED and not any(asks(one, rule) for one in every),
            "exception %d is from %s, which this policy does not ask for" % (count, rule),
        )
        for count, each in enumerate(policy.exceptions, start=1)
        for rule in each.rules
    ]


def _twice(exceptions: tuple[Exemption, ...]) -> list[tuple[object, str]]:
    """The same let pass by two exceptions, whose ends differ or might."""
    seen: dict[tuple[object, ...], int] = {}
    found: list[tuple[object, str]] = []
    for count, each in enumerate(exceptions, start=1):
        for where in (*map(place, each.targets), *each.files):
            for rule in each.rules:
                first = seen.setdefault((where, each.site, rule), count)
                words = (
                    "exceptions %d and %d both let %s pass at the same place: which one ends it?"
                )
                found.append((first != count, words % (first, count, rule)))
    return found


def asks(asked: Requirements, rule: str) -> bool:
    """Whether a rule must be kept."""
    if rule.endswith(CLEARTEXT):
        return not asked.cleartext
    own = {
        TLS_VERSION: asked.tls_min_version,
        CERTIFICATE_DAYS: asked.certificate_days,
        LEAST_VERSION: asked.least_versions,
        SERVICE_GONE: True,
    }
    return bool(own[rule]) if rule in own else rule in asked.rules


# -- readers ---------------------------------------------------------------------------------------


def _tls(value: Any) -> str:
    if value not in (*VERSIONS, NONE) or type(value) is not str:
        raise ValueError("one of %s is wanted, in quotes" % ", ".join((*VERSIONS, NONE)))
    return "" if value == NONE else value


def _places(value: Any) -> tuple[str, ...]:
    if not texts(value):
        raise ValueError("a list of addresses, networks or names is wanted, at least one")
    for word in value:
        place(word)
    return tuple(dict.fromkeys(value))


def _hosts(value: Any) -> tuple[str, ...]:
    found = _places(value)
    if any(place(word).name.startswith("*") for word in found):
        raise ValueError("nobody can look at all names below another: write each")
    return found


def _services(value: Any) -> tuple[str, ...]:
    found = _hosts(value)
    for word in found:
        if not place(word).port or target.parse(word).network:
            raise ValueError("%r: a service is a host and its port, mail.example:110" % word)
    return found


def _patterns(value: Any) -> tuple[str, ...]:
    if not texts(value) or not all(each and each.isprintable() for each in value):
        raise ValueError("a list of paths is wanted, at least one; * stands for anything")
    return tuple(dict.fromkeys(value))


def _words(value: Any) -> str:
    if type(value) is not str or not value.strip() or not value.isprintable() or len(value) > WORDS:
        raise ValueError("words in one line are wanted, %d characters at most" % WORDS)
    return value


def _day(value: Any) -> str:
    if type(value) is not datetime.date:
        raise ValueError("a day as 2027-03-31 is wanted, without quotes")
    return value.isoformat()


def _severity(value: Any) -> Severity:
    try:
        return Severity(value)
    except ValueError:
        raise ValueError(
            "one of %s is wanted" % ", ".join(each.value for each in Severity)
        ) from None


def _versions(products: Collection[str]) -> Callable[[Any], tuple[LeastVersion, ...]]:
    known = {name.casefold(): name for name in products}

    def reader(value: Any) -> tuple[LeastVersion, ...]:
        if not isinstance(value, dict):
            raise ValueError("write them under a line [least-versions]")
        for product, version in value.items():
            if product.casefold() not in known:
                raise ValueError("%r is none of %s" % (product, ", ".join(known.values())))
            if type(version) is not str or not re.fullmatch(r"\d{1,6}(\.\d{1,6}){0,5}", version):
                raise ValueError('%s: a version as "2.3.21" is wanted' % product)
        return tuple(LeastVersion(each.casefold(), version) for each, version in value.items())

    return reader


def _listed(known: Known) -> Callable[[Any], tuple[str, ...]]:
    """Rules without a key of their own."""
    reader = _rules(known.listed)

    def listed(value: Any) -> tuple[str, ...]:
        for rule in value if texts(value) else ():
            if _key_of(rule):
                raise ValueError("%r has the key %s" % (rule, _key_of(rule)))
        return reader(value)

    return listed


def _rules(known: Collection[str], least: int = 0) -> Callable[[Any], tuple[str, ...]]:
    def reader(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise ValueError("a list of ids of rules is wanted" + ", at least one" * least)
        for rule in value:
            if rule not in known:
                raise ValueError("%r is none of %s" % (rule, ", ".join(known)))
        return tuple(dict.fromkeys(value))

    return reader


def _exceptions(known: Known) -> Callable[[Any], tuple[Exemption, ...]]:
    def reader(value: Any) -> tuple[Exemption, ...]:
        return tuple(_exception(each, where, known) for where, each in tables(value, "exception"))

    return reader


def _exception(table: Mapping[str, Any], where: str, known: Known) -> Exemption:
    own = known.file_rules if "files" in table else dict.fromkeys((*known.rules, *_KEYED))
    rules = {"rules": Key("rules", _rules((*own, UNDECIDED), 1), None)}
    made = Exemption(**read({**_EXCEPTION_KEYS, **rules}, table, where))
    possible(
        (
            (
                made.files and made.targets,
                "%sfiles and targets: write an exception for each" % where,
            ),
            (not made.files and not made.targets, "%stargets is missing (or files)" % where),
            (made.files and made.site, "%sfiles lie in no site" % where),
        )
    )
    return made


_SECTION_KEYS = {
    "targets": Key("targets", _places, None),
    "site": Key("site", _words, ""),
}

_EXCEPTION_KEYS = {
    "targets": Key("targets", _places, ()),
    "site": Key("site", _words, ""),
    "files": Key("files", _patterns, ()),
    "until": Key("until", _day, None),
    "owner": Key("owner", _words, None),
    "reason": Key("reason", _words, None),
}


def _asked_keys(known: Known, default: Requirements) -> Keys:
    return {
        "cleartext-logins": Key("cleartext", flag, default.cleartext),
        "tls-min-version": Key("tls_min_version", _tls, default.tls_min_version),
        "certificate-days": Key("certificate_days", number(_DAYS), default.certificate_days),
        "rules": Key("rules", _listed(known), default.rules),
        "least-versions": Key("least_versions", _versions(known.products), default.least_versions),
    }


def _file_keys(known: Known) -> Keys:
    usual = Terms()
    return {
        "targets": Key("targets", _hosts, ()),
        "services": Key("services", _services, ()),
        "look-days": Key("look_days", number(_DAYS, 1), 7),
        "lint-severity": Key("lint_severity", _severity, Severity.MEDIUM),
        "review-days": Key("review_days", number(_DAYS, 1), usual.review),
        "patch-days-security": Key("patch_days_security", number(_DAYS), usual.security),
        "patch-days-ordinary": Key("patch_days_ordinary", number(_DAYS), usual.ordinary),
        "section": Key("sections", lambda value: tables(value, "section"), []),
        "exception": Key("exceptions", _exceptions(known), ()),
    }
