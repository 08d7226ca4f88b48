"""The lab for tests that need booted hosts: one fresh lab for each test, or a skip that says why.

Strategy: the fixture is the whole contract; what a test makes in its lab goes with the lab.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import Lab, missing


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An empty lab."""
    reasons = missing()
    if reasons:
        pytest.skip("; ".join(reasons))
    with Lab() as made:
        yield made
