"""A port that is opened in the firewall, and closed again, as lines for sh(1).

Strategy: as `apply` does it, the firewall is asked first, and a rule that is there already is
neither added nor taken away. That a rule is ours is noted in a file before it is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from mailseal.model import firewall
from mailseal.model.firewall import HANDLE, Rule
from mailseal.model.ops import OpenPort


def forward(op: OpenPort, note: str) -> list[str]:
    """The lines that add what is not there. `note` begins the names of the files, as the shell is
    to read it in double quotes.
    """
    return [
        line
        for number, rule in enumerate(firewall.rules(op))
        for line in (
            "if ! { %s; }; then" % _look(rule),
            '    : >"%s.rule%d"' % (note, number),
            "    " + _words(rule.add),
            "fi",
        )
    ]


def back(op: OpenPort, note: str) -> list[str]:
    """The lines that take away what was added."""
    return [
        line
        for number, rule in reversed([*enumerate(firewall.rules(op))])
        for line in (
            'if [ -e "%s.rule%d" ] && { %s; }; then %s; fi'
            % (note, number, _look(rule), _take(rule)),
            'rm -f -- "%s.rule%d"' % (note, number),
        )
    ]


def _words(argv: Sequence[str]) -> str:
    return " ".join(map(quote, argv))


def _look(rule: Rule) -> str:
    """A command that succeeds where the rule is there."""
    asked = _words(rule.look)
    if not rule.sign:
        return asked + " >/dev/null 2>&1"
    return "%s 2>/dev/null | grep -qF -- %s" % (asked, quote(rule.sign))


def _take(rule: Rule) -> str:
    if HANDLE not in rule.take:
        return _words(rule.take)
    found = "$(%s | sed -n %s | head -n 1)" % (_words(rule.look), quote("s/.*%s//p" % rule.sign))
    return " ".join('"%s"' % found if word == HANDLE else quote(word) for word in rule.take)
