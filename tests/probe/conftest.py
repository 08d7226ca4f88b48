"""Both drivers as one fixture: what is asked of one is asked of the other."""

import gc
import os
from collections.abc import Callable, Iterator

import pytest

from mailseal.model.look import Observation
from mailseal.probe import blocking, loop
from mailseal.probe.look import Question

Driver = Callable[..., Observation]


def one_of_many(question: Question, authority: str = "") -> Observation:
    """The loop's look at one endpoint."""
    (observation,) = loop.Scan(authority=authority).results([question])
    return observation


DRIVERS: dict[str, Driver] = {"blocking": blocking.observe, "loop": one_of_many}


@pytest.fixture(params=list(DRIVERS))
def observe(request: pytest.FixtureRequest) -> Driver:
    return DRIVERS[request.param]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def no_leak() -> Iterator[None]:
    """As many descriptors after the test as before."""
    gc.collect()
    before = descriptors()
    yield
    assert descriptors() == before
