"""The figures over all queries: recall at five bounds with Wilson's intervals, false accepts, risk against coverage, calibration, times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from astra.core.types import FloatArray
from astra.evaluation.bench_report import Result
from astra.evaluation.goals_table import wilson

Row = dict[str, Any]
Answer = dict[str, Any]
BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("0.25 m/2°", 0.25, 2.0), ("0.5 m/5°", 0.5, 5.0), ("1 m/5°", 1.0, 5.0), ("5 m/10°", 5.0, 10.0), ("10 m/180°", 10.0, 180.0),
)  # fmt: skip
METHODS = ("astra", "place", "vlad", "pnp")
FALSE_M = 1.0  # a pose that is called localized and is off by more is a false accept
RIGHT_DEG = 5.0
ALLOWED_RISK = 0.005
TARGETS = {
    "home/near/astra/10 m/180°": "≥ 0.999", "office/near/astra/10 m/180°": "≥ 0.99", "warehouse/near/astra/10 m/180°": "≥ 0.97",
    "home/near/astra/1 m/5°": "≥ 0.95", "office/near/astra/1 m/5°": "≥ 0.95", "warehouse/near/astra/1 m/5°": "≥ 0.88",
    "home/near/frames/1 m/5°": "≥ 0.99", "office/near/frames/1 m/5°": "≥ 0.99", "warehouse/near/frames/1 m/5°": "≥ 0.97",
    "all/near/astra/0.25 m/2°": "≥ 0.85", "all/whole/astra/false accepts": "≤ 0.005", "all/foreign accepts": "≤ 0.005",
}  # fmt: skip


def figures(rows: Sequence[Row]) -> list[Result]:
    """Everything that results.json holds."""
    out: list[Result] = []
    for kind in ("all", *sorted({row["kind"] for row in rows})):
        of_kind = [row for row in rows if kind in ("all", row["kind"])]
        strata = {
            "near": [row for row in of_kind if row["near"]],
            "whole": of_kind,
            "far": [row for row in of_kind if not row["near"]],
            "reverse": [row for row in of_kind if row["reverse"]],
        }
        for stratum, mine in strata.items():
            for arm in (*METHODS, "light", "frames") if stratum in ("near", "whole") else METHODS:
                out += _of_arm(f"{kind}/{stratum}/{arm}", [row[arm] for row in mine if arm in row])
            out += _share(f"{kind}/{stratum}/a constant answer/10 m/180°", [row["centre_m"] <= 10.0 for row in mine])
        out += _share(f"{kind}/foreign accepts", [row["foreign"]["status"] == "localized" for row in of_kind if "foreign" in row])
    return out + _trust(rows) + _times(rows)


def is_within(answer: Answer, bound_m: float, bound_deg: float) -> bool:
    """Whether an answer counts: lost never does, and coarse only where any heading does."""
    if answer["off_m"] is not None:
        return bool(answer["off_m"] <= bound_m and answer["off_deg"] <= bound_deg)
    return bound_deg >= 180.0 and answer["status"] == "coarse" and answer.get("coarse_m", math.inf) <= bound_m


def is_false(answer: Answer) -> bool:
    """Whether a pose was given and is wrong."""
    return answer["off_m"] is not None and answer["off_m"] > FALSE_M


def risk_coverage(answers: Sequence[Answer]) -> tuple[FloatArray, FloatArray]:
    """(coverage, risk) when only answers of at least some confidence are believed, from the surest on; risk: the share of false ones."""
    order = np.argsort([-a["confidence"] for a in answers if a["off_m"] is not None], kind="stable")
    wrong = np.array([is_false(a) for a in answers if a["off_m"] is not None], dtype=float)[order]
    count = np.arange(1, len(wrong) + 1)
    return count / max(len(answers), 1), np.cumsum(wrong) / count


def reliability(answers: Sequence[Answer], bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean confidence, share right within 1 m/5°, how many) of the localized answers, bin by bin; empty bins are left out."""
    given = [a for a in answers if a["off_m"] is not None]
    bin_of = [min(int(a["confidence"] * bins), bins - 1) for a in given]
    out = []
    for k in range(bins):
        inside = [a for a, b in zip(given, bin_of) if b == k]
        if inside:
            confident, right = float(np.mean([a["confidence"] for a in inside])), float(np.mean([is_within(a, FALSE_M, RIGHT_DEG) for a in inside]))
            out.append((confident, right, len(inside)))
    return out


def _of_arm(name: str, answers: Sequence[Answer]) -> list[Result]:
    out: list[Result] = []
    for bound, metres, degrees in BOUNDS:
        out += _share(f"{name}/{bound}", [is_within(a, metres, degrees) for a in answers])
    out += _share(f"{name}/false accepts", [is_false(a) for a in answers])
    out += _share(f"{name}/lost", [a["status"] == "lost" for a in answers])
    return out


def _share(name: str, hits: Iterable[bool]) -> list[Result]:
    values = list(hits)
    if not values:
        return []
    low, high = wilson(sum(values), len(values))
    return [Result(name, sum(values) / len(values), "", len(values), 0.5 * (high - low), TARGETS.get(name, ""))]


def _trust(rows: Sequence[Row]) -> list[Result]:
    out = []
    for arm in METHODS:
        answers = [row[arm] for row in rows if arm in row]
        coverage, risk = risk_coverage(answers)
        if len(coverage):
            bearable = coverage[risk <= ALLOWED_RISK]
            out.append(Result(f"{arm}/coverage at a risk of {ALLOWED_RISK}", float(bearable.max(initial=0.0)), "", len(answers)))
    bins = reliability([row["astra"] for row in rows])
    if bins:
        count = sum(n for _, _, n in bins)
        out.append(Result("astra/calibration error", sum(n * abs(said - right) for said, right, n in bins) / count, "", count))
    return out


def _times(rows: Sequence[Row]) -> list[Result]:
    out = []
    for arm in METHODS:
        for stage in rows[0][arm]["time_s"] if rows else ():
            values = [row[arm]["time_s"][stage] for row in rows]
            out += [Result(f"time/{arm}/{stage}_p{q}", float(np.percentile(values, q)), "s", len(values)) for q in (50, 95)]
    return out
