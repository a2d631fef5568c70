"""How well boxes are found: average precision at half overlap, and the score from which on a class can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import BoolArray, FloatArray
from astra.perception.objects import overlap

Found = tuple[int, float, FloatArray]  # class, score, box (4,)
Shown = tuple[int, FloatArray]  # class (−1: neither right nor wrong), box (4,)


@dataclass(frozen=True, slots=True, eq=False)
class ClassCurve:
    """A class over all images: the scores (N,) of what was found, surest first, which of it is right, and how many there are."""

    scores: FloatArray
    right: BoolArray
    total: int

    @property
    def average_precision(self) -> float:
        """The area under precision over recall, precision made monotonous; NaN where there is none to find."""
        if self.total == 0:
            return float("nan")
        if len(self.scores) == 0:
            return 0.0
        hits = np.cumsum(self.right)
        precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
        return float((precision * self.right).sum() / self.total)

    def at(self, threshold: float) -> tuple[int, int, int]:
        """(right, found, total) of what scores at least `threshold`."""
        kept = self.scores >= threshold
        return int(self.right[kept].sum()), int(kept.sum()), self.total

    def threshold(self, precision: float, least: int) -> float | None:
        """The lowest score from which on `precision` of at least `least` finds is right; None if there is none."""
        count = np.arange(1, len(self.scores) + 1)
        good = np.flatnonzero((np.cumsum(self.right) >= precision * count) & (count >= least))
        return float(self.scores[good[-1]]) if len(good) else None


def curves(found: Sequence[Sequence[Found]], shown: Sequence[Sequence[Shown]], classes: int, least_overlap: float = 0.5) -> list[ClassCurve]:
    """The curve of every class over images; what covers a thing too small to tell is left out, a second find of one thing is wrong."""
    scores: list[list[float]] = [[] for _ in range(classes)]
    right: list[list[bool]] = [[] for _ in range(classes)]
    total = np.zeros(classes, np.int64)
    for finds, truth in zip(found, shown, strict=True):
        for kind, _ in truth:
            total[kind] += kind >= 0
        taken: set[int] = set()
        for kind, score, box in sorted(finds, key=lambda f: -f[1]):
            covers = [(overlap(box, other), k) for k, (own, other) in enumerate(truth) if own == kind and k not in taken]
            best, k = max(covers, default=(0.0, -1))
            if best < least_overlap and any(own < 0 and overlap(box, other) > 0.3 for own, other in truth):
                continue
            if best >= least_overlap:
                taken.add(k)
            scores[kind].append(score)
            right[kind].append(best >= least_overlap)
    out = []
    for mine, hits, count in zip(scores, right, total):
        order = np.argsort(-np.array(mine), kind="stable")
        out.append(ClassCurve(np.array(mine, dtype=np.float64)[order], np.array(hits, dtype=bool)[order], int(count)))
    return out
