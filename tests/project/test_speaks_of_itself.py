"""The project speaks of itself alone: no path of a developer's machine, no registry, no secret.

What it forbids is put together from pieces, so that this file may be searched as well.
"""

import re

import pytest

from tests.project.tree import ROOT, texts

FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.~-])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me)/\w",
    "a package registry": r"\b(?:py" + r"pi\.org|files\.python" + r"hosted|registry\.np" + r"mjs)",
    "a setting of somebody's package index": r"^--(?:extra-)?index-" + r"url|^--find-" + r"links",
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE " + r"KEY-----\s+[A-Za-z0-9+/=]{40}",
    "a token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|AKIA[0-9A-Z]{16})",
    "a password in an address": r"\b(?!ssh://)[a-z]{3,6}://[^\s/@:'\"{}<>]+:[^\s/@'\"{}<>]+@(?!example)",
}


def found(text: str) -> list[str]:
    return [
        f"line {text.count(chr(10), 0, hit.start()) + 1}: {what}"
        for what, pattern in FORBIDDEN.items()
        for hit in re.finditer(pattern, text, re.MULTILINE)
    ]


def test_nothing_of_elsewhere_is_in_the_project():
    assert {
        str(path.relative_to(ROOT)): hits for path, text in texts() if (hits := found(text))
    } == {}


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "work/x",
        "'/" + "root/x'",
        "/" + "home/alice/x",
        "https://py" + "pi.org/simple",
        "--find-" + "links x",
        "-----BEGIN PRIVATE " + "KEY-----\n" + "A" * 40,
        "ghp" + "_" + "a" * 36,
        "https://me:" + "secret@host/",
    ],
)
def test_what_is_found(text: str):
    assert found(text)


@pytest.mark.parametrize(
    "text", ["a network/working day", "tests/root/x", "pop2://mail.example:109", "/rooted/"]
)
def test_what_is_left_alone(text: str):
    assert found(text) == []
