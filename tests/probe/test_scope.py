"""What may be contacted, and what not."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.probe.scope import EXCLUDED, OUTSIDE, BadRule, Permit, Ranges, Rules

small = some.integers(0, 60)
ranges = some.lists(some.tuples(small, small).map(lambda pair: (min(pair), max(pair))), max_size=8)


def members(parts: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in parts for number in range(first, last + 1)}


@given(ranges, some.tuples(small, small).map(lambda pair: (min(pair), max(pair))))
def test_ranges_are_sets_of_numbers(added: list[tuple[int, int]], asked: tuple[int, int]):
    held = Ranges()
    for first, last in added:
        held.add(first, last)
    there, wanted = members(added), members([asked])
    assert {number for number in range(62) if number in held} == there
    assert members(held.within(*asked)) == there & wanted
    assert members(held.without(*asked)) == wanted - there


@given(ranges, ranges, some.tuples(small, small).map(lambda pair: (min(pair), max(pair))))
def test_a_network_is_cut_to_what_is_permitted(
    scope: list[tuple[int, int]], out: list[tuple[int, int]], asked: tuple[int, int]
):
    inside, excluded = Rules(), Rules()
    for first, last in scope:
        inside.ranges(4).add(first, last)
    for first, last in out:
        excluded.ranges(4).add(first, last)
    permit = Permit(inside, excluded)
    parts, outside, left = permit.cut(4, *asked)
    wanted = members([asked])
    assert members(parts) == wanted & members(scope) - members(out)
    assert outside == len(wanted - members(scope))
    assert left == len(wanted & members(scope) & members(out))
    for number in wanted:
        allowed = not permit.refusal(str(ipaddress.IPv4Address(number)))
        assert allowed == (number in members(parts))


@pytest.mark.parametrize(
    ("scope", "excluded", "address", "names", "why"),
    [
        (None, "", "192.0.2.1", "", ""),
        ("192.0.2.0/24", "", "192.0.2.1", "", ""),
        ("192.0.2.0/24", "", "198.51.100.1", "", OUTSIDE),
        ("192.0.2.0/24", "", "198.51.100.1", "mail.example", OUTSIDE),
        ("mail.example", "", "198.51.100.1", "Mail.Example.", ""),
        ("mail.example", "", "198.51.100.1", "", OUTSIDE),
        ("*.example", "", "198.51.100.1", "a.mail.example", ""),
        ("*.example", "", "198.51.100.1", "example", OUTSIDE),
        ("192.0.2.0/24", "192.0.2.1", "192.0.2.1", "", EXCLUDED),
        ("mail.example", "198.51.100.0/24", "198.51.100.1", "mail.example", EXCLUDED),
        (None, "*.example", "192.0.2.1", "mail.example", EXCLUDED),
        ("192.0.2.0/24", "198.51.100.1", "198.51.100.1", "", EXCLUDED),
        ("2001:db8::/32", "", "2001:db8::1", "", ""),
        ("2001:db8::/32", "2001:db8::1", "2001:db8::1%eth0", "", EXCLUDED),
        ("192.0.2.0/24", "", "2001:db8::1", "", OUTSIDE),
    ],
)
def test_exclusion_wins_over_the_scope(
    scope: str | None, excluded: str, address: str, names: str, why: str
):
    permit = Permit(None if scope is None else Rules([scope]), Rules(excluded.split()))
    assert permit.refusal(address, names.split()) == why


@pytest.mark.parametrize(
    "word", ["", "a b", "192.0.2.0/33", "192.0.2", "*", "*.", "mail.example:1"]
)
def test_what_is_no_rule(word: str):
    with pytest.raises(BadRule):
        Rules([word])


@given(some.text(max_size=40))
def test_anything_is_a_rule_or_not(word: str):
    try:
        said = Rules([word]).names
    except BadRule as error:
        said = {str(error)}
    assert all(words.isprintable() for words in said)
