"""Which tours are mapped: ten of each kind of building, and more on which something goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from astra.core.errors import BadInputError
from astra.sim.worlds.plan import KINDS

Twist = Literal["", "dropped", "exposure", "frozen", "frozen_front", "false_loop"]
FIRST_SEEDS = {"validate": 10_000, "test": 20_000}
EACH = 10  # worlds of a kind
MOVERS_EVERY = 5  # has people and carts: a tour waits long for them
ADVERSARIAL: tuple[tuple[str, int, Twist], ...] = (  # the ordinary list's tours again (kind, world, what goes wrong)
    ("office", 1, "false_loop"), ("home", 0, "dropped"), ("warehouse", 1, "false_loop"), ("office", 1, "exposure"), ("home", 0, "frozen"),
    ("office", 3, "frozen_front"), ("home", 4, "false_loop"), ("office", 3, "dropped"), ("warehouse", 1, "exposure"), ("office", 3, "frozen"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Episode:
    """One tour to be mapped. `kind`: home, office, warehouse, or ring (`ring.py`); `movers`: whether people and carts are about."""

    kind: str
    seed: int
    twist: Twist = ""
    movers: bool = True

    @property
    def name(self) -> str:
        """Unique within a split."""
        return f"{self.kind}{self.seed}{'-' if self.twist else ''}{self.twist}"


def episodes(split: str) -> tuple[Episode, ...]:
    """All tours of a split, the most telling first, so that a run that is cut short has seen something of everything.

    Raises:
        BadInputError: there is no such split.
    """
    if split not in FIRST_SEEDS:
        raise BadInputError(f"split {split!r} is not one of {', '.join(FIRST_SEEDS)}")
    first = FIRST_SEEDS[split]
    ordinary = [Episode(kind, first + k, "", _has_movers(k)) for k in range(EACH) for kind in KINDS]
    twisted = [Episode(kind, first + k, twist, _has_movers(k)) for kind, k, twist in ADVERSARIAL]
    out: list[Episode] = []
    for k, episode in enumerate(ordinary):
        out.append(episode)
        if k % 3 == 2:
            out += twisted[k // 3 : k // 3 + 1]
        if k == 2:
            out.append(Episode("ring", first, "", movers=False))
        if k == 8:
            out.append(Episode("ring", first + 1, "", movers=False))
    return tuple(out)


def quick(split: str) -> tuple[Episode, ...]:
    """Three tours, enough to see that everything works."""
    first = FIRST_SEEDS[split]
    return Episode("home", first, movers=False), Episode("home", first, "dropped", movers=False), Episode("ring", first, "", movers=False)


def _has_movers(number: int) -> bool:
    return number % MOVERS_EVERY == MOVERS_EVERY - 1
