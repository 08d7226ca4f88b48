"""Nobody is hurried: no second has more connections than its rate, and everybody gets a turn."""

import math
from collections import Counter, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mailseal.model.look import Endpoint
from mailseal.probe.pace import UNPACED, Line, Pace, Rates, Spacing, network_of

rates = some.one_of(some.integers(1, 300).map(float), some.floats(0.2, 50))


def most_in_a_second(moments: list[float]) -> int:
    """The greatest number of moments in any window of one second, its end not within."""
    window: deque[float] = deque()
    most = 0
    for moment in moments:
        window.append(moment)
        while window[0] <= moment - 1.0 + 1e-6:
            window.popleft()
        most = max(most, len(window))
    return most


@given(rates, some.sampled_from([0.0, 0.05, 0.25, 0.5, 1.0]), some.lists(some.floats(0, 0.7)))
def test_no_second_has_more_than_its_rate(rate: float, early: float, pauses: list[float]):
    spacing, now, granted = Spacing(rate, early), 1000.0, []
    for pause in [*pauses, *[0.0] * 400]:
        now += pause
        wait = spacing.wait("", now)
        now += wait
        if not wait:
            spacing.take("", now)
            granted.append(now)
    assert most_in_a_second(granted) <= math.ceil(rate)


def test_the_rate_is_nearly_reached():
    spacing, now, count = Spacing(500, 0.05), 0.0, 0
    while now < 10.0:
        wait = spacing.wait("", now)
        now += wait
        if not wait:
            spacing.take("", now)
            count += 1
    assert 4700 < count <= 5000


@settings(deadline=None, max_examples=60)
@given(
    some.lists(some.tuples(some.integers(0, 3), some.integers(1, 4), some.integers(1, 9)),
               min_size=1, max_size=80),
    some.builds(Rates, some.sampled_from([0.0, 3.0, 40.0]), some.sampled_from([0.0, 2.0, 7.0]),
                some.sampled_from([0.0, 4.0, 11.0]), some.integers(0, 3)),
    some.sampled_from([0.0, 0.01, 1.5]),
)  # fmt: skip
def test_everybody_gets_a_turn_and_no_limit_is_exceeded(
    targets: list[tuple[int, int, int]], limits: Rates, look: float
):
    endpoints = [Endpoint(f"192.0.{net}.{host}", port) for net, host, port in targets]
    line: Line[int] = Line(Pace(limits), limits.at_a_time)
    now = 5.0
    for number, endpoint in enumerate(endpoints):
        line.add(endpoint, number, now)
    under_way: list[tuple[float, int]] = []
    gone: list[tuple[float, int]] = []
    for _ in range(100_000):
        if not len(line):
            break
        found = line.next(now)
        if isinstance(found, float):
            ends = min((end for end, _ in under_way), default=math.inf)
            assert min(now + found, ends) < math.inf, "somebody waits for ever"
            now = min(now + found, ends)
        else:
            gone.append((now, found))
            under_way.append((now + look, found))
        for end, number in [each for each in under_way if each[0] <= now]:
            under_way.remove((end, number))
            line.done(endpoints[number], now)
        busy = Counter(endpoints[number].address for _, number in under_way)
        assert not limits.at_a_time or max(busy.values(), default=0) <= limits.at_a_time
    assert sorted(number for _, number in gone) == list(range(len(endpoints)))
    assert not line._networks
    for rate, of in (
        (limits.total, lambda address: ""),
        (limits.host, lambda address: address),
        (limits.network, network_of),
    ):
        for key in {of(endpoint.address) for endpoint in endpoints} if rate else ():
            moments = [at for at, number in gone if of(endpoints[number].address) == key]
            assert most_in_a_second(moments) <= math.ceil(rate)


def test_a_blocked_network_does_not_stop_the_others():
    line: Line[str] = Line(Pace(Rates(0, 0, 1, 0)), 0)
    for address in ("192.0.2.1", "192.0.2.2", "198.51.100.1"):
        line.add(Endpoint(address, 1), address, 0.0)
    assert [line.next(0.0), line.next(0.0)] == ["192.0.2.1", "198.51.100.1"]
    assert line.next(0.0) == pytest.approx(1.0)
    assert line.next(1.0) == "192.0.2.2"


def test_hosts_take_turns():
    line: Line[int] = Line(Pace(UNPACED), 0)
    for port in (1, 2, 3):
        for host in (1, 2):
            line.add(Endpoint(f"192.0.2.{host}", port), host, 0.0)
    assert [line.next(0.0) for _ in range(6)] == [1, 2, 1, 2, 1, 2]


def test_what_is_remembered_does_not_grow_with_what_was():
    pace = Pace(Rates(0, 5, 50, 4))
    for number in range(200_000):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert not pace.permit(Endpoint(host, 1), number / 1000) or number % 256
    assert len(pace._host._due) < 10_000
    assert len(pace._network._due) < 10_000


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2"),
        ("2001:db8:0:1::7", "20010db800000001"),
        ("2001:db8:0:1:ffff::", "20010db800000001"),
        ("fe80::1%eth0", "fe80000000000000"),
    ],
)
def test_networks(address: str, network: str):
    assert network_of(address) == network
