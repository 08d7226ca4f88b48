"""Faults of configuration files: each rule is one file, one id, one pair of fixtures, one page.

Strategy: `lint` parses a file once and asks every rule of its kind; `repaired` makes the safe fixes
and asks again, because one fix may make room for another. A fix that lets a program start is held
back while something critical would start with it. A new rule is one new file and one line here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mailseal.configs import stunnel
from mailseal.configs.text import Malformed, Splice, apply_splices
from mailseal.lint import (
    dovecot_cleartext_login,
    inetd_cleartext_login,
    postfix_cleartext_login,
    socket_cleartext_login,
    stunnel_accept_brackets,
    stunnel_accept_port_only,
    stunnel_backend_port,
    stunnel_certificate_expired,
    stunnel_client_global,
    stunnel_client_open,
    stunnel_client_unchecked,
    stunnel_compression,
    stunnel_debug,
    stunnel_foreground,
    stunnel_global_in_service,
    stunnel_key_readable,
    stunnel_missing_folder,
    stunnel_no_certificate,
    stunnel_no_tls_version,
    stunnel_obsolete,
    stunnel_old_tls_version,
    stunnel_port_name,
    stunnel_security_level,
    stunnel_setuid_key,
    stunnel_setuid_low_port,
    stunnel_smtp_starttls_server,
    stunnel_smtp_wrapped,
    stunnel_starttls_on_tls_port,
    stunnel_trailing_comment,
    stunnel_transparent_setuid,
    stunnel_unknown_option,
    stunnel_unknown_protocol,
    stunnel_unknown_tls_option,
    stunnel_unreadable_line,
    stunnel_wrong_port,
    xinetd_cleartext_login,
)
from mailseal.lint.base import Here, Hit, Rule, There
from mailseal.lint.kinds import PARSERS, kind_of
from mailseal.lint.sections import MOST, named_paths
from mailseal.model.finding import Severity
from mailseal.model.lint import Fault, Linted

RULES: tuple[Rule, ...] = (
    stunnel_accept_brackets.RULE,
    stunnel_accept_port_only.RULE,
    stunnel_backend_port.RULE,
    stunnel_certificate_expired.RULE,
    stunnel_client_global.RULE,
    stunnel_client_open.RULE,
    stunnel_client_unchecked.RULE,
    stunnel_compression.RULE,
    stunnel_debug.RULE,
    stunnel_foreground.RULE,
    stunnel_global_in_service.RULE,
    stunnel_key_readable.RULE,
    stunnel_missing_folder.RULE,
    stunnel_no_certificate.RULE,
    stunnel_no_tls_version.RULE,
    stunnel_obsolete.RULE,
    stunnel_old_tls_version.RULE,
    stunnel_port_name.RULE,
    stunnel_security_level.RULE,
    stunnel_setuid_key.RULE,
    stunnel_setuid_low_port.RULE,
    stunnel_smtp_starttls_server.RULE,
    stunnel_smtp_wrapped.RULE,
    stunnel_starttls_on_tls_port.RULE,
    stunnel_trailing_comment.RULE,
    stunnel_transparent_setuid.RULE,
    stunnel_unknown_option.RULE,
    stunnel_unknown_protocol.RULE,
    stunnel_unknown_tls_option.RULE,
    stunnel_unreadable_line.RULE,
    stunnel_wrong_port.RULE,
    dovecot_cleartext_login.RULE,
    inetd_cleartext_login.RULE,
    postfix_cleartext_login.RULE,
    socket_cleartext_login.RULE,
    xinetd_cleartext_login.RULE,
)
BY_ID = {rule.id: rule for rule in RULES}

ROUNDS = 32
"""Of fixes. Each option that moves above the sections takes one, and there are some twenty."""


class _Found(NamedTuple):
    rule: Rule
    hit: Hit


def lint(path: str, data: bytes, there: There | None = None) -> Linted:
    """What is wrong with a file. Its kind is "" where no rule is for it; never raises. `there`:
    what is known of the paths that `named` tells, where the file is one of this host.
    """
    kind = kind_of(path, data)
    if not kind:
        return Linted(path, "", (), "a template, or no kind of file that rules are for")
    document = PARSERS[kind](data)
    faults = tuple(_fault(each) for each in _found(kind, document, there))
    return Linted(path, kind, faults, _unread(kind, document))


def named(path: str, data: bytes) -> tuple[str, ...]:
    """The absolute paths that a file names and rules ask about."""
    if kind_of(path, data) != "stunnel":
        return ()
    document = stunnel.parse(data)
    return tuple(dict.fromkeys(each for _, _, each in named_paths(document)))


def repaired(path: str, data: bytes) -> bytes:
    """The file with all safe fixes; the same bytes where there are none."""
    kind = kind_of(path, data)
    for _ in range(ROUNDS if kind else 0):
        splices: list[Splice] = []
        done = 0
        for each in _found(kind, PARSERS[kind](data)):
            # One fix a round for each stretch of the file; what touches it waits for the next.
            own = sorted(each.hit.splices, key=lambda splice: splice.offset)
            if own and own[0].offset >= done:
                splices += own
                done = own[-1].offset + max(len(own[-1].old), 1)
        if not splices:
            break
        data = apply_splices(data, splices)
    return data


def _found(kind: str, document: Any, there: There | None = None) -> list[_Found]:
    """Each hit once, in the order of the file; what may not be fixed yet has no splices."""
    hits: dict[tuple[str, int], _Found] = {}
    asked = {kind: document}
    if there is not None:
        asked[f"{kind}-here"] = Here(document, there)
    for rule in RULES:
        for hit in rule.check(asked[rule.kind]) if rule.kind in asked else ():
            hits.setdefault((rule.id, hit.place.start), _Found(rule, hit))
    critical = any(each.rule.severity is Severity.CRITICAL for each in hits.values())
    found = sorted(hits.values(), key=lambda each: each.hit.place.start)
    return [
        _Found(each.rule, each.hit._replace(splices=())) if critical and each.rule.stops else each
        for each in found
    ]


def _fault(each: _Found) -> Fault:
    rule, hit = each
    return Fault(
        rule=rule.id,
        severity=rule.severity,
        stops=rule.stops,
        line=hit.place.line,
        column=hit.place.column,
        title=rule.title,
        said=hit.said[:LONGEST],
        fix=rule.fix,
        fixable=bool(hit.splices),
    )


LONGEST = 300
"""Characters of what a fault says: values are as long as their author likes."""


def _unread(kind: str, document: Any) -> str:
    """What of a file was not understood. In stunnel.conf that is a fault itself."""
    malformed: tuple[Malformed, ...] = document.malformed
    if kind == "stunnel":
        return _included(document)
    if not malformed:
        return ""
    first = malformed[0]
    return f"line {first.span.line}: {first.reason}"[:LONGEST]


def _included(document: stunnel.Document) -> str:
    services = document.services
    if len(services) > MOST:
        return f"line {services[MOST].section.span.line}: more than {MOST} services"
    for item in document.items:
        if isinstance(item, stunnel.Option) and item.key.text.lower() == "include":
            return f"line {item.span.line}: include is not followed: name that folder as well"
    return ""
