"""Sets of endpoints: exact, compact, bounded."""

import tracemalloc

from hypothesis import example, given
from hypothesis import strategies as some

from mailseal.model.look import Endpoint
from mailseal.workflow.seen import Keys, Recent, key


@given(some.lists(some.one_of(some.integers(1, 50), some.integers(1, 2**64 - 1)), max_size=3000))
def test_keys_are_a_set(numbers: list[int]):
    keys, model = Keys(), set()
    for number in numbers:
        assert (number in keys) == (number in model)
        assert keys.add(number) == (number not in model)
        model.add(number)
    assert len(keys) == len(model)
    assert all(number in keys for number in model)


@given(some.lists(some.integers(1, 60), max_size=400))
@example([5, 6, 7, 8, 9, 2, 1, 3, 2, 4, 2])
def test_recent_ones_are_known_and_old_ones_may_be_forgotten(numbers: list[int]):
    recent = Recent(4)
    before: list[int] = []
    for number in numbers:
        new = recent.add(number)
        known = {*dict.fromkeys(before).keys()} if len(set(before)) <= 4 else set(before[-2:])
        assert not (new and number in known)
        assert new or number in before
        before.append(number)


def test_a_million_endpoints_take_some_megabytes():
    keys = Keys()
    for number in range(90_000):
        keys.add(key(Endpoint(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 109)))
    tracemalloc.start()
    for number in range(90_000, 100_000):
        keys.add(key(Endpoint(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 109)))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(keys) == 100_000
    # It has just doubled its slots, to 2 ** 18 of 8 octets, beside the old ones.
    assert held < 2.2e6
    assert peak < 3.3e6


def test_what_differs_has_another_key():
    places = [
        Endpoint("192.0.2.1", 109),
        Endpoint("192.0.2.1", 110),
        Endpoint("192.0.2.2", 109),
        Endpoint("2001:db8::1", 109),
        Endpoint("2001:db8::2", 109),
    ]
    numbers = [key(place, name) for place in places for name in ("", "a.example", "b.example")]
    assert len(set(numbers)) == len(numbers)
    assert len({key(None, "a"), key(None, "b"), *numbers}) == len(numbers) + 2
    assert all(0 < number < 2**64 for number in numbers)
