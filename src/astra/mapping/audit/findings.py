"""What a check of the audit can say: the tour is broken between two keyframes, or a stretch of it is doubtful."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Break:
    """The map cannot be right, or holds nothing, between the keyframes `before` and `after`, neighbours in one tour; it has to be cut there.

    contradicted: the two sides must not end up in one part again; else they may, by what joins them elsewhere.
    """

    before: int
    after: int
    reason: str
    contradicted: bool = True


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something contradicts the map somewhere between two keyframes, and no cut would mend it."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoopFinding:
    """Keyframes `a` and `b` were matched as one place and are not."""

    a: int
    b: int
    reason: str
