"""What each command does, as one function, without a word about command lines.

Strategy: one file a command. A function takes a frozen request, gives values or yields them as they
come, and raises `BadInput` for what the operator must mend first. `cli` only parses and prints.
"""

from __future__ import annotations


class BadInput(ValueError):
    """What was given cannot be used. `str()` says what is wrong and what to do."""
