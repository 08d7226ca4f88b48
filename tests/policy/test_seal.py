"""The policy of a site: read whole, or refused by the name of what is wrong."""

import contextlib
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model.finding import Severity
from mailseal.model.look import Endpoint
from mailseal.model.policy import (
    Exemption,
    LeastVersion,
    Requirements,
    SealPolicy,
    Section,
)
from mailseal.policy import seal
from mailseal.policy.places import Index, place
from mailseal.policy.seal import BadPolicy, Known, parse
from tests.project.tree import ROOT

KNOWN = Known(
    rules=("pop2-cleartext-login", "imap-preauth", "tls-certificate", "tls-version"),
    file_rules=("stunnel-debug", "stunnel-obsolete"),
    products=("Dovecot", "Cyrus IMAP"),
)
WHOLE = b"""
targets = ["mail.example", "192.0.2.0/24", "[2001:db8::7]:109"]
services = ["mail.example:109"]
look-days = 3
cleartext-logins = false
tls-min-version = "1.3"
certificate-days = 30
rules = ["tls-certificate"]
lint-severity = "low"
review-days = 90
patch-days-security = 14
patch-days-ordinary = 60

[least-versions]
"cyrus imap" = "3.6"

[[section]]
targets = ["*.lab.example"]
site = "lab"
tls-min-version = "none"
certificate-days = 0

[[exception]]
targets = ["192.0.2.7:109"]
rules = ["pop2-cleartext-login", "inconclusive"]
until = 2027-03-31
owner = "mail team"
reason = "the archive's clients"

[[exception]]
files = ["roles/old/*"]
rules = ["stunnel-debug"]
until = 2027-01-01
owner = "mail team"
reason = "wanted for a week"
"""
END = 'until = 2027-03-31\nowner = "o"\nreason = "r"\n'


def read(text: str | bytes) -> SealPolicy:
    return parse(text if isinstance(text, bytes) else text.encode(), "here", KNOWN)


def test_every_key_is_read():
    asked = Requirements(
        False, "1.3", 30, ("tls-certificate",), (LeastVersion("cyrus imap", "3.6"),)
    )
    assert read(WHOLE) == SealPolicy(
        source="here",
        sha256=hashlib.sha256(WHOLE).hexdigest(),
        asked=asked,
        sections=(
            Section(
                targets=("*.lab.example",),
                site="lab",
                asked=Requirements(False, "", 0, asked.rules, asked.least_versions),
            ),
        ),
        exceptions=(
            Exemption(
                targets=("192.0.2.7:109",),
                site="",
                files=(),
                rules=("pop2-cleartext-login", "inconclusive"),
                until="2027-03-31",
                owner="mail team",
                reason="the archive's clients",
            ),
            Exemption(
                targets=(),
                site="",
                files=("roles/old/*",),
                rules=("stunnel-debug",),
                until="2027-01-01",
                owner="mail team",
                reason="wanted for a week",
            ),
        ),
        targets=("mail.example", "192.0.2.0/24", "[2001:db8::7]:109"),
        services=("mail.example:109",),
        look_days=3,
        lint_severity=Severity.LOW,
        review_days=90,
        patch_days_security=14,
        patch_days_ordinary=60,
    )


def test_an_empty_file_asks_for_everything():
    asked = read("").asked
    assert (asked.cleartext, asked.tls_min_version, asked.certificate_days) == (False, "1.2", 21)
    assert asked.rules == ("imap-preauth", "tls-certificate")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("targets", "here: Expected"),
        (b'owner = "\xff"', "here: octet 9 is not UTF-8"),
        ("#" * 70000, "longer than"),
        ("a = " + "[" * 30000, "nested too deep"),
        ("target = []", "here: unknown key 'target'; known are cleartext-logins, tls-min-version"),
        ("targets = []", "targets: a list of addresses"),
        ('targets = ["*.example.org"]', "targets: nobody can look at all names"),
        ('targets = ["192.0.2.7/24"]', "targets: '192.0.2.7/24': .* has host bits set"),
        ('targets = ["mail.example:99999"]', "targets: .*is no port .1 to 65535."),
        ('targets = ["0.0.0.0/0"]', "targets: '0.0.0.0/0' is everything"),
        ('targets = ["a b"]', "targets: 'a b' is no host name, address"),
        (
            'services = ["mail.example"]',
            "services: 'mail.example': a service is a host and its port",
        ),
        ('services = ["192.0.2.0/24:109"]', "services: .* a service is a host and its port"),
        ("look-days = 0", "look-days: a number from 1"),
        ("cleartext-logins = 0", "cleartext-logins: true or false"),
        ("tls-min-version = 1.2", "tls-min-version: one of 1.0, 1.1, 1.2, 1.3, none"),
        ('tls-min-version = "TLSv1.2"', "tls-min-version: one of"),
        ("certificate-days = -1", "certificate-days: a number from 0"),
        ("certificate-days = true", "certificate-days: a number from 0"),
        ('rules = ["tls-versions"]', "rules: 'tls-versions' is none of imap-preauth"),
        ('rules = ["tls-version"]', "rules: 'tls-version' has the key tls-min-version"),
        ('rules = ["pop2-cleartext-login"]', "rules: .* has the key cleartext-logins"),
        ("rules = [1]", "rules: 1 is none of"),
        ('lint-severity = "bad"', "lint-severity: one of info, low"),
        ("least-versions = 3", "least-versions: write them under a line"),
        ('[least-versions]\nDovecat = "2"', "least-versions: 'Dovecat' is none of Dovecot"),
        ("[least-versions]\nDovecot = 2.3", "least-versions: Dovecot: a version as"),
        ("section = 3", r"section: write each section under a line \[\[section\]\]"),
        ("[[section]]\ncertificate-days = 1", "section 1, targets is missing"),
        ('[[section]]\ntarget = ["a"]', "section 1, unknown key 'target'"),
        ('[[section]]\ntargets = ["a"]\nlook-days = 1', "section 1, unknown key 'look-days'"),
        ("[[exception]]\n" + END, "exception 1, rules is missing"),
        (f'[[exception]]\nrules = ["tls-version"]\n{END}', "exception 1, targets is missing"),
        (f'[[exception]]\ntargets = ["a"]\nrules = []\n{END}', "rules: a list .* at least one"),
        (f'[[exception]]\nfiles = ["a"]\nrules = ["tls-version"]\n{END}', "none of stunnel-debug"),
        ('[[exception]]\nuntil = "2027-03-31"', "exception 1, until: a day as 2027-03-31"),
        ("[[exception]]\nuntil = 2027-03-31T00:00:00Z", "exception 1, until: a day"),
        ('[[exception]]\nuntil = 2027-01-01\nowner = " "', "exception 1, owner: words in one line"),
        (
            '[[exception]]\nuntil = 2027-01-01\nowner = "o"\nreason = "a\\nb"',
            "exception 1, reason: words in one line",
        ),
        ('[[exception]]\nwhy = "a"', "exception 1, unknown key 'why'"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(text: str | bytes, says: str):
    with pytest.raises(BadPolicy, match=says):
        read(text)


@pytest.mark.parametrize("left_out", ["until", "owner", "reason"])
def test_an_exception_without_end_owner_or_reason_is_refused(left_out: str):
    lines = [line for line in END.splitlines() if not line.startswith(left_out)]
    text = '[[exception]]\ntargets = ["a"]\nrules = ["tls-version"]\n' + "\n".join(lines)
    with pytest.raises(BadPolicy, match=f"^here: exception 1, {left_out} is missing$"):
        read(text)


NOTHING = 'cleartext-logins = true\ntls-min-version = "none"\ncertificate-days = 0\nrules = []\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("patch-days-security = 9\npatch-days-ordinary = 8", "would be due .* after ordinary"),
        (NOTHING, "the file asks for nothing"),
        (f'[[section]]\ntargets = ["a"]\n{NOTHING}', "section 1 asks for nothing"),
        ('[[section]]\ntargets = ["a"]', "section 1, asks for nothing else than the whole file"),
        (
            '[[section]]\ntargets = ["192.0.2.0/24", "*.example"]\ncertificate-days = 1\n'
            '[[section]]\ntargets = ["192.0.2.9:110", "mail.example"]\ncertificate-days = 2',
            "section 2 is never reached: all of it is in section 1",
        ),
        (
            f'rules = []\n[[exception]]\ntargets = ["a"]\nrules = ["imap-preauth"]\n{END}',
            "exception 1 is from imap-preauth, which this policy does not ask for",
        ),
        (
            f'[[exception]]\ntargets = ["a", "b"]\nrules = ["tls-version"]\n{END}' * 2,
            "exceptions 1 and 2 both let tls-version pass",
        ),
        (
            f'[[exception]]\ntargets = ["a"]\nfiles = ["a"]\nrules = ["stunnel-debug"]\n{END}',
            "exception 1, files and targets: write an exception for each",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(text: str, says: str):
    with pytest.raises(BadPolicy, match=says):
        read(text)


def test_a_section_behind_one_for_part_of_it_is_reached():
    text = (
        '[[section]]\ntargets = ["192.0.2.9:110"]\ncertificate-days = 1\n'
        '[[section]]\ntargets = ["192.0.2.0/24"]\ncertificate-days = 2\n'
        '[[section]]\ntargets = ["2001:db8::/32"]\nsite = "x"\ncertificate-days = 3'
    )
    assert len(read(text).sections) == 3


@given(
    st.binary(max_size=300)
    | st.text(alphabet="[]\"'={}.a1\n*:/", max_size=300).map(str.encode)
    | st.lists(st.sampled_from(WHOLE.splitlines()), max_size=20).map(b"\n".join)
)
def test_any_octets_are_a_policy_or_refused(text: bytes):
    with contextlib.suppress(BadPolicy):
        assert read(text).source == "here"


@pytest.mark.parametrize(
    ("word", "there", "elsewhere"),
    [
        ("192.0.2.7", "192.0.2.7:109", "192.0.2.8:109"),
        ("192.0.2.7:109", "192.0.2.7:109", "192.0.2.7:110"),
        ("192.0.2.0/24", "192.0.2.255:1", "192.0.3.0:1"),
        ("192.0.2.0/24:110", "192.0.2.1:110", "192.0.2.1:109"),
        ("2001:db8::/32", "2001:db8::1%eth0:109", "192.0.2.7:109"),
        ("[2001:db8::7]:109", "2001:db8::7:109", "2001:db8::7:110"),
    ],
)
def test_a_place_has_what_it_says(word: str, there: str, elsewhere: str):
    for text, expected in ((there, True), (elsewhere, False)):
        host, _, port = text.rpartition(":")
        at = Endpoint(host, int(port))
        assert Index([([word], "", 1)]).at(at, "mail.example") == [1] * expected


@pytest.mark.parametrize(
    ("word", "name", "expected"),
    [
        ("mail.example", "MAIL.example.", True),
        ("mail.example", "a.mail.example", False),
        ("*.example", "a.mail.example", True),
        ("*.example", "example", False),
        ("*.example", "", False),
    ],
)
def test_a_name_is_the_one_that_was_asked_for(word: str, name: str, expected: bool):
    at = Endpoint("192.0.2.7", 109)
    assert Index([([word], "", 1)]).at(at, name) == [1] * expected


def test_what_holds_comes_in_its_order_and_for_its_site():
    words = ["192.0.2.0/24", "mail.example", "192.0.2.7:110", "192.0.2.7", "*.example", "192.0.2.7"]
    index = Index(([each, "10.0.0.0/8"], "lab" * (at == 3), at) for at, each in enumerate(words))
    assert index.at(Endpoint("192.0.2.7", 109), "mail.example") == [0, 1, 4, 5]
    assert index.at(Endpoint("192.0.2.7", 110, "lab"), "") == [0, 2, 3, 5]
    assert index.at(Endpoint("198.51.100.1", 1), "") == []


@given(
    words=st.lists(
        st.sampled_from(["192.0.2.0/24", "192.0.2.7", "192.0.2.7:109", "0.0.0.0/1", "::/1", "a.b"]),
        max_size=6,
    ),
    host=st.sampled_from(["192.0.2.7", "192.0.3.1", "2001:db8::1"]),
)
def test_an_index_finds_what_covers_the_endpoint(words: list[str], host: str):
    """By the other way: a place covers the place of the endpoint alone."""
    at = Endpoint(host, 109)
    alone = place(str(at))
    expected = [number for number, word in enumerate(words) if place(word).covers(alone)]
    assert Index(([word], "", number) for number, word in enumerate(words)).at(at, "") == expected


def test_the_page_has_every_key_and_no_other():
    page = (ROOT / "docs/reference/policy.md").read_text()
    asked = seal._asked_keys(KNOWN, Requirements())
    for heading, keys in (
        ("The file", seal._file_keys(KNOWN)),
        ("What is asked of an endpoint", asked),
        ("`[[section]]`", seal._SECTION_KEYS),
        ("`[[exception]]`", {**seal._EXCEPTION_KEYS, "rules": None}),
    ):
        table = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == set(keys)
