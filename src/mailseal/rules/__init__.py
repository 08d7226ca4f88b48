"""From verdicts to findings: each rule is one file, one id, one pair of fixtures, one page of docs.

Strategy: `findings` asks every rule of the tuple; a new rule is one new file and one line here.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailseal.model.finding import Assessment, Finding, finding_id
from mailseal.model.look import Observation
from mailseal.rules import (
    imap_cleartext_login,
    imap_preauth,
    managesieve_cleartext_login,
    pop2_cleartext_login,
    pop2_remote_login,
    pop3_cleartext_login,
    smtp_cleartext_login,
    starttls_injection,
    starttls_missing,
    tls_certificate,
    tls_version,
    weak_mechanism_only,
)
from mailseal.rules.base import Rule

RULES: tuple[Rule, ...] = (
    pop2_cleartext_login.RULE,
    pop2_remote_login.RULE,
    pop3_cleartext_login.RULE,
    imap_cleartext_login.RULE,
    smtp_cleartext_login.RULE,
    managesieve_cleartext_login.RULE,
    imap_preauth.RULE,
    starttls_missing.RULE,
    starttls_injection.RULE,
    weak_mechanism_only.RULE,
    tls_certificate.RULE,
    tls_version.RULE,
)
BY_ID = {rule.id: rule for rule in RULES}


def findings(assessment: Assessment, observations: Sequence[Observation]) -> tuple[Finding, ...]:
    """What the looks at one endpoint break, in the order of `RULES`."""
    endpoint = assessment.endpoint
    return tuple(
        Finding(
            id=finding_id(rule.id, endpoint),
            rule=rule.id,
            endpoint=endpoint,
            severity=rule.severity,
            title=rule.title,
            evidence=evidence,
            advice=rule.advice.format(endpoint=endpoint),
            assessment=assessment,
        )
        for rule in RULES
        if (evidence := rule.check(observations, assessment))
    )


def kept(rule: str, assessment: Assessment, observations: Sequence[Observation], name: str) -> bool:
    """Whether looks that do not break a rule show that it is kept, for a finding made under `name`.
    Of a rule that is no more, nothing is known.
    """
    known = BY_ID.get(rule)
    return known is not None and known.kept(observations, assessment, name)
