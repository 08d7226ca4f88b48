"""What `mailseal verify` came to: the lines, and what was not looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Tuple

from mailseal.model.plan import ClaimKind, Proof


@dataclass(frozen=True)
class NotAsked:
    """A line that was left out: why, and the option that asks for it."""

    kind: ClaimKind
    reason: str
    how: str


@dataclass(frozen=True)
class Verification:
    """All of it as one document. `target` is what was named, `taken` RFC 3339 UTC, `source` from
    where it was looked (empty: from here).
    """

    mailseal: str
    target: str
    source: str
    taken: str
    proofs: Tuple[Proof, ...]
    left_out: Tuple[NotAsked, ...]

    RECORD: ClassVar[str] = "Verification"
