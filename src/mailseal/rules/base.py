"""What a rule is: a record of plain values and one pure function.

Strategy: a rule reads looks and the verdict on them, and answers with its evidence or with nothing.
It knows no clock: whether a certificate has expired is asked for the moment of the look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mailseal.model.finding import Assessment, Severity, Verdict
from mailseal.model.look import Observation

Check = Callable[[Sequence[Observation], Assessment], tuple[str, ...]]
"""All looks at one endpoint and their assessment to lines of evidence; none: the rule is kept."""

Kept = Callable[[Sequence[Observation], Assessment, str], bool]
"""Whether looks that give no evidence show that the rule is kept, or only did not ask. The text is
the name under which it was found broken ("": by address).
"""


def refused(observations: Sequence[Observation], assessment: Assessment, name: str) -> bool:
    """What has to do with logins in cleartext is over when they are refused."""
    return assessment.verdict is Verdict.REFUSED


class Rule(NamedTuple):
    """`severity` is the rating of the base score of `cvss` (CVSS 3.1, section 5). `scanners` are
    names and ids under which others report the same. In `advice`, `{endpoint}` stands for the
    endpoint.
    """

    id: str
    title: str
    severity: Severity
    cvss: str
    cwe: tuple[str, ...]
    standards: tuple[str, ...]
    scanners: tuple[str, ...]
    advice: str
    check: Check
    kept: Kept = refused

    @property
    def page(self) -> str:
        """The documentation of this rule."""
        return f"docs/rules/{self.id}.md"


PASSWORDS = (
    "RFC 8314 (cleartext is obsolete for mail access)",
    "PCI DSS 4.0 requirements 4 and 8",
    "NIST SP 800-53 SC-8, IA-5",
)
"""What forbids passwords in cleartext, for every mail protocol."""


def taken_in_cleartext(protocol: str) -> Check:
    """The check of `<protocol>-cleartext-login`: the verdict is made in `assess`, such a rule only
    gives it a name, a rating and a way out.
    """

    def check(observations: Sequence[Observation], assessment: Assessment) -> tuple[str, ...]:
        if assessment.verdict is not Verdict.EXPOSED or assessment.protocol != protocol:
            return ()
        return assessment.reasons or ("the verdict gives no reason",)

    return check
