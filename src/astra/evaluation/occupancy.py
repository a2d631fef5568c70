"""How well the eyes see what is occupied now, and foresee what will be: counts for one ride, figures for many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

from astra.core.types import AnyArray, BoolArray, Float32Array
from astra.datasets.local_truth import MOVER, OUTSIDE, STATIC
from astra.datasets.samples import Sample
from astra.evaluation.bench_report import Result
from astra.geometry import Pose2
from astra.local_model.lifting import STRIDE
from astra.local_model.runtime import Eyes, View

WIDE_RADIUS_M, NEAR_RADIUS_M = 4.0, 2.0
THRESHOLD = 0.5
Figure = Callable[["Counts"], float]


@dataclass
class Counts:
    """Cells of one ride, by name; sums of several are the counts of all."""

    values: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Add to one count."""
        self.values[name] = self.values.get(name, 0.0) + float(value)

    def confusion(self, name: str, said: BoolArray, true: BoolArray, mask: BoolArray) -> None:
        """Add what was said of cells against what is true, where `mask`."""
        for key, cells in (("tp", said & true), ("fp", said & ~true), ("fn", ~said & true), ("tn", ~said & ~true)):
            self.add(f"{name}/{key}", float((cells & mask).sum()))

    def obstacle_iou(self, name: str) -> float:
        """Of occupied cells."""
        tp, fp, fn = (self.values.get(f"{name}/{k}", 0.0) for k in ("tp", "fp", "fn"))
        return tp / max(tp + fp + fn, 1.0)

    def total_iou(self, name: str) -> float:
        """The share of cells that are said right."""
        tp, fp, fn, tn = (self.values.get(f"{name}/{k}", 0.0) for k in ("tp", "fp", "fn", "tn"))
        return (tp + tn) / max(tp + fp + fn + tn, 1.0)

    def ratio(self, part: str, whole: str) -> float:
        """Of two counts."""
        return self.values.get(part, 0.0) / max(self.values.get(whole, 0.0), 1.0)


def ride_counts(eyes: Eyes, ride: Sequence[Sample]) -> tuple[Counts, list[View]]:
    """Look at each sample in turn, with true poses for odometry, and count."""
    counts = Counts()
    views: list[View] = []
    for sample in ride:
        view = eyes.see(dict(zip(sample.shard.cameras, np.asarray(sample.image))), sample.stamp_ns, Pose2(*(float(v) for v in sample.pose)))
        _count_now(counts, eyes, sample, view)
        if view.forecast is not None and len(views) >= eyes.history_steps - 1:
            _count_ahead(counts, eyes, sample, view)
        views.append(view)
    return counts, views


def maps_of(sample: Sample, size_m: float, resolution_m: float, step: int = 0) -> tuple[BoolArray, BoolArray, BoolArray]:
    """(Y, X) bool each on a grid of its own: occupied at a step, looked at now by truth's reckoning, somebody there now or then."""
    assert sample.occupancy is not None and sample.visible is not None
    now, then = np.asarray(sample.occupancy[0]), np.asarray(sample.occupancy[step])
    looked = (np.asarray(sample.visible) > 0) & (then != OUTSIDE)
    occupied, moving = ((then == STATIC) | (then == MOVER)) & looked, ((now == MOVER) | (then == MOVER)) & looked
    return _pooled(occupied, size_m, resolution_m), _pooled(looked, size_m, resolution_m), _pooled(moving, size_m, resolution_m)


def _pooled(layer: BoolArray, size_m: float, resolution_m: float) -> BoolArray:
    """The middle of a packed window at a grid's size and resolution: a cell is true if any part of it is."""
    packed_m = 9.6 / len(layer)
    keep, factor = round(size_m / packed_m), round(resolution_m / packed_m)
    first = (len(layer) - keep) // 2
    middle = layer[first : first + keep, first : first + keep]
    return np.asarray(middle.reshape(keep // factor, factor, keep // factor, factor).any(axis=(1, 3)))


def _within(cells: int, resolution_m: float, radius_m: float) -> BoolArray:
    along = (np.arange(cells) + 0.5) * resolution_m - cells * resolution_m / 2.0
    return np.asarray(along[:, None] ** 2 + along[None] ** 2 <= radius_m**2)


def _count_now(counts: Counts, eyes: Eyes, sample: Sample, view: View) -> None:
    grid, fine = eyes.encoder.grid, eyes.encoder.near
    occupied, looked, moving = maps_of(sample, grid.size_m, grid.resolution_m)
    close = looked & _within(grid.cells, grid.resolution_m, WIDE_RADIUS_M)
    said = view.wide > THRESHOLD
    counts.confusion("wide", said, occupied, close)
    counts.confusion("nothing", np.zeros_like(said), occupied, close)
    counts.add("wide/looked", float(close.sum()))
    counts.add("wide/unknown", float((close & ~view.wide_seen).sum()))
    occupied, looked, moving = maps_of(sample, fine.size_m, fine.resolution_m)
    close = looked & _within(fine.cells, fine.resolution_m, NEAR_RADIUS_M)
    said, true = (view.near > THRESHOLD) & close, occupied & close
    grown_said, grown_true = _grown(said), _grown(occupied)
    for name, value in (("said", said), ("said_right", said & grown_true), ("true", true), ("found", true & grown_said)):
        counts.add(f"near/{name}", float(value.sum()))
    for name, value in (("true", moving & close), ("found", moving & close & grown_said)):
        counts.add(f"people/{name}", float(value.sum()))
    _count_depth(counts, eyes, sample, view.depth_m)


def _count_depth(counts: Counts, eyes: Eyes, sample: Sample, depth_m: Float32Array) -> None:
    assert sample.depth is not None
    half = STRIDE // 2
    truth = np.asarray(sample.depth, np.float32)[:, half::STRIDE, half::STRIDE][:, : depth_m.shape[1], : depth_m.shape[2]]
    valid = (truth > 0.1) & (truth < eyes.encoder.bins.far_m)
    counts.add("depth/pixels", float(valid.sum()))
    counts.add("depth/relative", float((np.abs(depth_m - truth) / np.maximum(truth, 0.1) * valid).sum()))


def _count_ahead(counts: Counts, eyes: Eyes, sample: Sample, view: View) -> None:
    """The forecast against `copy`, for which nothing moves; both are seen from here, so that the robot's own motion is no matter."""
    assert view.forecast is not None and sample.occupancy is not None
    grid = eyes.encoder.grid
    close = _within(grid.cells, grid.resolution_m, WIDE_RADIUS_M)
    crowded = bool(((np.asarray(sample.occupancy) == MOVER) & (np.asarray(sample.visible) > 0)).any())
    for k, moment in enumerate(eyes.config.moments_s):
        step = round(moment / 0.5)
        if abs(step * 0.5 - moment) > 1e-6 or step >= len(sample.occupancy) or not crowded:
            continue
        occupied, looked, moving = maps_of(sample, grid.size_m, grid.resolution_m, step)
        for who, said in (("forecast", view.forecast[k] > THRESHOLD), ("copy", view.wide > THRESHOLD)):
            counts.confusion(f"{who}_{moment:g}s", said, occupied, looked & close)
            counts.confusion(f"{who}_moving_{moment:g}s", said, occupied, moving & close)


def _grown(cells: BoolArray) -> BoolArray:
    return np.asarray(cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def total(parts: Iterable[Counts]) -> Counts:
    """The sum of many."""
    out = Counts()
    for part in parts:
        for name, value in part.values.items():
            out.add(name, value)
    return out


def occupancy_results(rides: Sequence[Counts], label: str = "") -> list[Result]:
    """Figures over all cells of all rides; intervals by drawing rides anew."""
    figures: list[tuple[str, Figure, str]] = [
        ("obstacle_iou_4m", lambda c: c.obstacle_iou("wide"), "≥ 0.45"), ("total_iou_4m", lambda c: c.total_iou("wide"), "≥ 0.80"),
        ("total_iou_4m_all_free", lambda c: c.total_iou("nothing"), ""), ("near_recall_2m", lambda c: c.ratio("near/found", "near/true"), "≥ 0.95"),
        ("near_precision_2m", lambda c: c.ratio("near/said_right", "near/said"), "≥ 0.80"),
        ("people_recall_2m", lambda c: c.ratio("people/found", "people/true"), ""),
        ("unknown_share_4m", lambda c: c.ratio("wide/unknown", "wide/looked"), ""), ("depth_abs_rel", lambda c: c.ratio("depth/relative", "depth/pixels"), ""),
    ]  # fmt: skip
    return [Result(label + name, figure(total(rides)), "", len(rides), _interval(figure, rides), target) for name, figure, target in figures]


def forecast_results(rides: Sequence[Counts], moments_s: Sequence[float]) -> list[Result]:
    """Obstacle and total IoU ahead, where somebody is in view, and how they compare with copying."""
    out = []
    for moment in (f"{m:g}s" for m in moments_s):
        for kind, target in (("", "≥ 1.15 at 1 s"), ("moving_", "≥ 1.5 at 1 s")):
            for who in ("forecast", "copy"):
                name = f"{who}_{kind}{moment}"
                iou = partial(Counts.obstacle_iou, name=name)
                out.append(Result(f"{name}_obstacle_iou", iou(total(rides)), "", len(rides), _interval(iou, rides)))
            mine, theirs = (total(rides).obstacle_iou(f"{who}_{kind}{moment}") for who in ("forecast", "copy"))
            out.append(Result(f"{kind}{moment}_over_copy", mine / max(theirs, 1e-6), "", len(rides), None, target if moment == "1s" else ""))
    return out


def _interval(figure: Figure, rides: Sequence[Counts], draws: int = 200) -> float | None:
    """Half the 95 % interval of a figure over rides drawn with replacement."""
    if len(rides) < 2:
        return None
    rng = np.random.default_rng(0)
    values: AnyArray = np.array([figure(total([rides[k] for k in rng.integers(0, len(rides), len(rides))])) for _ in range(draws)])
    low, high = np.percentile(values, [2.5, 97.5])
    return float(high - low) / 2.0

