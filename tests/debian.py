"""Programs of Debian that tests run, from packages that are not installed here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import LabError, images


def program(name: str) -> Path:
    """One of `lab.images.PROGRAMS`, or a skip that says what brings it."""
    try:
        return images.program(name)
    except (LabError, OSError) as error:
        if os.geteuid() == 0:
            raise
        pytest.skip(f"as root fetch it, by `python3 -m lab build {name}`: {error}")
