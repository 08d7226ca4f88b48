"""The policy's file: written from what is known, and read back."""

from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.model.asset import Terms
from mailseal.model.look import Endpoint
from mailseal.model.policy import Requirements, SealPolicy
from mailseal.store import Store
from mailseal.workflow import BadInput, policies
from tests.store.make import NESSUS, look, record

HERE = Endpoint("192.0.2.7", 109)


def made(tmp_path: Path, *looks, site: str = "") -> str:
    with Store.open(str(tmp_path / "store.sqlite3")) as store:
        for each in looks:
            record(store, each)
        return policies.init(store, site, lambda: 1768478400.0)


def read(tmp_path: Path, text: str):
    path = tmp_path / "mailseal.toml"
    path.write_text(text)
    return policies.load(str(path))


def test_a_new_policy_asks_for_everything_and_names_the_hosts(tmp_path: Path):
    text = made(
        tmp_path,
        look("exposed", 1),
        look("refused", 1, endpoint=Endpoint("2001:db8::7", 110), name=""),
    )
    policy = read(tmp_path, text)
    assert policy.targets == ("mail.example", "2001:db8::7")
    assert policy.services == ("[2001:db8::7]:110",)
    assert policy.asked == Requirements(rules=policies.KNOWN.listed)
    assert (policy.sections, policy.exceptions) == ((), ())
    assert "on 2026-01-15" in text


def test_what_is_broken_waits_to_be_filled_in(tmp_path: Path):
    text = made(tmp_path, look("exposed", 1))
    below = text.partition("# Broken now")[2].splitlines()[2:]
    lines = [line.removeprefix("# ") for line in below]
    assert lines == [
        "[[exception]]",
        'targets = ["mail.example:109"]',
        'rules = ["pop2-cleartext-login"]',
        "until = ",
        "owner = ",
        "reason = ",
    ]
    filled = [
        line + {"until": "2027-01-01", "owner": '"o"', "reason": '"r"'}.get(line[:-3], "")
        for line in lines
    ]
    (only,) = read(tmp_path, text + "\n".join(filled)).exceptions
    assert (only.targets, only.until) == (("mail.example:109",), "2027-01-01")


def test_every_example_in_it_can_be_had(tmp_path: Path):
    head = made(tmp_path).partition("# Broken now")[0]
    examples = ("[", "targets", "services", "rules", "tls", "until", "owner", "reason", "Dovecot")
    kept = [
        line.removeprefix("# ")
        if line.startswith(tuple("# " + each for each in examples))
        else line
        for line in head.splitlines()
    ]
    policy = read(tmp_path, "\n".join(kept))
    assert (len(policy.sections), len(policy.exceptions)) == (1, 1)
    assert policy.asked.least_versions
    assert policy.targets == ("mail.example",)


def test_where_nothing_is_known_it_names_no_target(tmp_path: Path):
    assert read(tmp_path, made(tmp_path)).targets == ()


@pytest.mark.parametrize("name", ['x"]\nlook-days = 1', "a b", "*.example", "\x1b[31m", "::1%e"])
def test_a_hostile_name_is_left_out(tmp_path: Path, name: str):
    with Store.open(str(tmp_path / "store.sqlite3")) as store:
        record(store, look("exposed", 1, name=name))
        record(store, reported=(replace(NESSUS, name=name, endpoint=Endpoint("fe80::1%e", 109)),))
        text = policies.init(store)
    policy = read(tmp_path, text)
    assert policy.targets == ("192.0.2.7",)
    assert 'targets = ["192.0.2.7:109"]  # and 1 more' in text


def test_very_many_hosts_become_networks(tmp_path: Path):
    many = [
        look("exposed", 1, endpoint=Endpoint(f"198.51.{third}.{last}", 109), name="")
        for third in (100, 101)
        for last in range(1, 140)
    ]
    six = [
        look("exposed", 1, endpoint=Endpoint(f"2001:db8::{last:x}", 109), name="")
        for last in range(1, 3)
    ]
    text = made(tmp_path, *many, *six, look("exposed", 1))
    assert read(tmp_path, text).targets == (
        "mail.example", "198.51.100.0/24", "198.51.101.0/24", "2001:db8::/64",
    )  # fmt: skip
    assert "and 265 more" in text


def test_a_site_by_itself(tmp_path: Path):
    here, there = look("exposed", 1), look("exposed", 1, endpoint=Endpoint("10.0.0.1", 110, "lab"))
    text = made(tmp_path, here, replace(there, name=""), site="lab")
    assert read(tmp_path, text).targets == ("10.0.0.1",)


def test_when_updates_are_due_is_as_usual_or_as_the_policy_says(tmp_path: Path):
    assert policies.terms(None) == Terms()
    path = tmp_path / "p.toml"
    path.write_text("patch-days-security = 3")
    assert policies.terms(str(path)) == Terms()._replace(security=3)
    with pytest.raises(BadInput, match="there is no policy"):
        policies.terms(str(tmp_path / "none"))


def test_what_no_look_at_the_host_comes_by_is_a_target_of_its_own(tmp_path: Path):
    odd = Endpoint("192.0.2.7", 2110)
    policy = read(tmp_path, made(tmp_path, look("exposed", 1), look("exposed", 1, endpoint=odd)))
    assert policy.targets == ("mail.example", "mail.example:2110")


@pytest.mark.parametrize(
    ("targets", "looked_at"),
    [
        (("mail.example",), ("mail.example", "mail.example:1109")),
        (("mail.example:109",), ("mail.example:109", "mail.example:1109")),
        (("mail.example:1109",), ("mail.example:1109", "mail.example:109")),
        ((), ("mail.example:109", "mail.example:1109")),
    ],
)
def test_a_service_that_no_target_comes_by_is_looked_at(
    targets: tuple[str, ...], looked_at: tuple[str, ...]
):
    services = ("mail.example:109", "mail.example:1109")
    policy = SealPolicy("here", "", Requirements(), targets=targets, services=services)
    assert policies.looked_at(policy, (109, 110)) == looked_at
    assert policies.looked_at(replace(policy, targets=("mail.example",)), range(65536)) == (
        "mail.example",
    )


def test_a_policy_that_cannot_be_used_names_its_file(tmp_path: Path):
    path = tmp_path / "p.toml"
    with pytest.raises(BadInput, match=r"there is no policy .*p\.toml: `mailseal policy init`"):
        policies.load(str(path))
    path.write_text("nonsense = 1")
    with pytest.raises(BadInput, match=r"the policy .*p\.toml: unknown key 'nonsense'"):
        policies.load(str(path))
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        policies.load(str(tmp_path))
