"""Files that rotation made of one log, put together by their names."""

import pytest

from mailseal.workflow.rotation import ordered


@pytest.mark.parametrize(
    ("paths", "sets"),
    [
        (["mail.log"], [["mail.log"]]),
        (
            ["mail.log", "mail.log.1", "mail.log.10.gz", "mail.log.2.gz"],
            [["mail.log.10.gz", "mail.log.2.gz", "mail.log.1", "mail.log"]],
        ),
        (
            ["/a/maillog", "/a/maillog-20261115.xz", "/a/maillog-20261108.zst"],
            [["/a/maillog-20261108.zst", "/a/maillog-20261115.xz", "/a/maillog"]],
        ),
        (["x.log-2026-11-02", "x.log-2026-11-01"], [["x.log-2026-11-01", "x.log-2026-11-02"]]),
        (["/a/mail.log.1", "/b/mail.log"], [["/a/mail.log.1"], ["/b/mail.log"]]),
        (["mail.log", "stunnel.log"], [["mail.log"], ["stunnel.log"]]),
        (["-", "mail.log"], [["-"], ["mail.log"]]),
        (["mail.log", "mail.log"], [["mail.log"]]),
        ([".1", "20261115"], [[".1"], ["20261115"]]),
    ],
)
def test_sets_and_their_order(paths: list[str], sets: list[list[str]]):
    assert ordered(paths) == sets
    assert sorted(ordered(reversed(paths))) == sorted(sets)
