"""How well the eyes see what is occupied now, and foresee what will be: counts for one ride, figures for many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import cv2
import numpy as np

from astra.core.types import NANOSECONDS, AnyArray, BoolArray, Float32Array
from astra.datasets.local_truth import MOVER, OUTSIDE, STATIC, stirring
from astra.datasets.samples import Sample
from astra.evaluation.bench_report import Result
from astra.geometry import Pose2
from astra.local_model.lifting import STRIDE
from astra.local_model.runtime import Eyes, Thresholds, View

WINDOW_M = 9.6  # of the packed truth
WIDE_RADIUS_M, NEAR_RADIUS_M = 4.0, 2.0
LATELY_S = 2.0  # a cell counts if a camera saw it within this time
SWEPT = tuple(round(0.1 + 0.05 * k, 2) for k in range(12))  # thresholds tried on validation worlds
SWEPT_MOVERS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 0.99)
WANTED_AHEAD, WANTED_MOVING = 1.15, 1.5  # of a forecast of a second over copying: IoU of occupied cells, and of those that somebody enters or leaves
WANTED_PRECISION = 0.84  # of the near map on validation worlds, a little more than is wanted of unseen ones; what is over goes into recall
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


def ride_counts(eyes: Eyes, ride: Sequence[Sample], *, sweep: bool = False) -> tuple[Counts, list[View]]:
    """Look at each sample in turn, with true poses for odometry, and count; `sweep` counts at every threshold too, to choose one."""
    counts = Counts()
    views: list[View] = []
    for k, sample in enumerate(ride):
        view = eyes.see(dict(zip(sample.shard.cameras, np.asarray(sample.image))), sample.stamp_ns, _pose(sample))
        lately = seen_lately(ride[: k + 1])
        _count_now(counts, eyes, sample, view, lately, sweep)
        if view.forecast is not None and len(views) >= eyes.history_steps - 1:
            _count_fused(counts, eyes, sample, view, lately)
            _count_ahead(counts, eyes, sample, view, sweep)
        views.append(view)
    return counts, views


def seen_lately(ride: Sequence[Sample]) -> BoolArray:
    """(Y, X) on the packed window: cells around the last sample that its cameras see, or those of a sample before it within `LATELY_S` saw."""
    now = ride[-1]
    seen = np.asarray(now.visible) > 0
    cells = len(seen)
    along = (np.arange(cells) + 0.5) * WINDOW_M / cells - WINDOW_M / 2.0
    x, y = np.meshgrid(along, along)
    centres = np.column_stack([x.ravel(), y.ravel()])
    for before in reversed(ride[:-1]):
        if now.stamp_ns - before.stamp_ns > LATELY_S * NANOSECONDS:
            break
        then = (_pose(before).inverse() @ _pose(now)).apply(centres)
        column, row = np.floor((then + WINDOW_M / 2.0) / WINDOW_M * cells).astype(np.int64).T
        inside = (column >= 0) & (column < cells) & (row >= 0) & (row < cells)
        was = np.asarray(before.visible)[np.where(inside, row, 0), np.where(inside, column, 0)] > 0
        seen = seen | (was & inside).reshape(cells, cells)
    return seen


def _pose(sample: Sample) -> Pose2:
    return Pose2(*(float(v) for v in sample.pose))


def maps_of(sample: Sample, size_m: float, resolution_m: float, step: int = 0, looked: BoolArray | None = None) -> tuple[BoolArray, BoolArray, BoolArray]:
    """(Y, X) bool each on a grid of its own: occupied at a step, looked at, and entered or left by somebody who moves between now and then.

    Args:
        sample: with its truth.
        size_m: of the grid.
        resolution_m: of the grid.
        step: of the packed occupancy.
        looked: (Y, X) on the packed window; what a camera sees now where not given.
    """
    assert sample.occupancy is not None and sample.visible is not None
    now, then = np.asarray(sample.occupancy[0]), np.asarray(sample.occupancy[step])
    looked = (np.asarray(sample.visible) > 0 if looked is None else looked) & (then != OUTSIDE)
    occupied, moving = ((then == STATIC) | (then == MOVER)) & looked, stirring(now, then) & looked
    return _pooled(occupied, size_m, resolution_m), _pooled(looked, size_m, resolution_m), _pooled(moving, size_m, resolution_m)


def _pooled(layer: BoolArray, size_m: float, resolution_m: float) -> BoolArray:
    """The middle of a packed window at a grid's size and resolution: a cell is true if any part of it is."""
    packed_m = WINDOW_M / len(layer)
    keep, factor = round(size_m / packed_m), round(resolution_m / packed_m)
    first = (len(layer) - keep) // 2
    middle = layer[first : first + keep, first : first + keep]
    return np.asarray(middle.reshape(keep // factor, factor, keep // factor, factor).any(axis=(1, 3)))


def _within(cells: int, resolution_m: float, radius_m: float) -> BoolArray:
    along = (np.arange(cells) + 0.5) * resolution_m - cells * resolution_m / 2.0
    return np.asarray(along[:, None] ** 2 + along[None] ** 2 <= radius_m**2)


def _count_now(counts: Counts, eyes: Eyes, sample: Sample, view: View, lately: BoolArray, sweep: bool) -> None:
    grid, fine, limits = eyes.encoder.grid, eyes.encoder.near, eyes.thresholds
    occupied, looked, _ = maps_of(sample, grid.size_m, grid.resolution_m, looked=lately)
    close = looked & _within(grid.cells, grid.resolution_m, WIDE_RADIUS_M)
    counts.confusion("wide", view.wide > limits.wide, occupied, close)
    counts.confusion("nothing", np.zeros_like(close), occupied, close)
    counts.add("wide/looked", float(close.sum()))
    counts.add("wide/unknown", float((close & ~view.wide_seen).sum()))
    for limit in SWEPT if sweep else ():
        counts.confusion(f"wide@{limit:g}", view.wide > limit, occupied, close)
    occupied, looked, _ = maps_of(sample, fine.size_m, fine.resolution_m, looked=lately)
    close = looked & _within(fine.cells, fine.resolution_m, NEAR_RADIUS_M)
    _count_near(counts, "near", view.recent > limits.near, occupied, close)
    _count_near(counts, "look", view.near > limits.near, occupied, close)
    for limit in SWEPT if sweep else ():
        _count_near(counts, f"near@{limit:g}", view.recent > limit, occupied, close)
    assert sample.occupancy is not None
    people = _pooled((np.asarray(sample.occupancy[0]) == MOVER) & lately, fine.size_m, fine.resolution_m) & close
    counts.add("people/true", float(people.sum()))
    counts.add("people/found", float((people & _grown(view.recent > limits.near)).sum()))
    _count_depth(counts, eyes, sample, view.depth_m)


def _count_near(counts: Counts, name: str, said: BoolArray, occupied: BoolArray, close: BoolArray) -> None:
    """With one cell of tolerance."""
    said, true = said & close, occupied & close
    for key, value in (("said", said), ("said_right", said & _grown(occupied)), ("true", true), ("found", true & _grown(said))):
        counts.add(f"{name}/{key}", float(value.sum()))


def _count_fused(counts: Counts, eyes: Eyes, sample: Sample, view: View, lately: BoolArray) -> None:
    """The 4-D encoder's word on what is occupied now, beside the 3-D encoder's, once there is a past to look at."""
    moments = eyes.config.moments_s
    if 0.0 not in moments or view.forecast is None:
        return
    grid, limits = eyes.encoder.grid, eyes.thresholds
    occupied, looked, _ = maps_of(sample, grid.size_m, grid.resolution_m, looked=lately)
    close = looked & _within(grid.cells, grid.resolution_m, WIDE_RADIUS_M)
    counts.confusion("wide_4d", view.forecast[moments.index(0.0)] > limits.forecast, occupied, close)
    counts.confusion("wide_3d", view.wide > limits.wide, occupied, close)


def _count_depth(counts: Counts, eyes: Eyes, sample: Sample, depth_m: Float32Array) -> None:
    assert sample.depth is not None
    half = STRIDE // 2
    truth = np.asarray(sample.depth, np.float32)[:, half::STRIDE, half::STRIDE][:, : depth_m.shape[1], : depth_m.shape[2]]
    valid = (truth > 0.1) & (truth < eyes.encoder.bins.far_m)
    counts.add("depth/pixels", float(valid.sum()))
    counts.add("depth/relative", float((np.abs(depth_m - truth) / np.maximum(truth, 0.1) * valid).sum()))


def _count_ahead(counts: Counts, eyes: Eyes, sample: Sample, view: View, sweep: bool) -> None:
    """The forecast against `copy`, for which nothing moves, where somebody in view moves until then; both as seen from here."""
    assert view.forecast is not None and sample.occupancy is not None
    grid, limits = eyes.encoder.grid, eyes.thresholds
    close = _within(grid.cells, grid.resolution_m, WIDE_RADIUS_M)
    for k, moment in enumerate(eyes.config.moments_s):
        step = round(moment / 0.5)
        if step == 0 or abs(step * 0.5 - moment) > 1e-6 or step >= len(sample.occupancy):
            continue
        occupied, looked, moving = maps_of(sample, grid.size_m, grid.resolution_m, step)
        if not (moving & close).any():
            continue
        counts.add(f"moments_{moment:g}s", 1.0)
        for who, said in (("forecast", view.forecast[k] > limits.forecast), ("copy", view.wide > limits.wide)):
            counts.confusion(f"{who}_{moment:g}s", said, occupied, looked & close)
            counts.confusion(f"{who}_moving_{moment:g}s", said, occupied, moving & close)
        if sweep and moment == 1.0:
            assert view.standing is not None and view.movers is not None
            for stands, walks in product(SWEPT, SWEPT_MOVERS):
                said = (view.standing[k] > stands) | (view.movers[k] > walks)
                counts.confusion(f"ahead@{stands:g}@{walks:g}", said, occupied, looked & close)
                counts.confusion(f"ahead_moving@{stands:g}@{walks:g}", said, occupied, moving & close)


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
        ("near_recall_2m", lambda c: c.ratio("near/found", "near/true"), "≥ 0.95"),
        ("near_precision_2m", lambda c: c.ratio("near/said_right", "near/said"), "≥ 0.80"),
        ("single_look_recall_2m", lambda c: c.ratio("look/found", "look/true"), ""),
        ("single_look_precision_2m", lambda c: c.ratio("look/said_right", "look/said"), ""),
        ("people_recall_2m", lambda c: c.ratio("people/found", "people/true"), ""),
        ("total_iou_4m_all_free", lambda c: c.total_iou("nothing"), ""),
        ("unknown_share_4m", lambda c: c.ratio("wide/unknown", "wide/looked"), ""), ("depth_abs_rel", lambda c: c.ratio("depth/relative", "depth/pixels"), ""),
        ("rendered_depth_abs_rel", lambda c: c.ratio("rendered/relative", "rendered/pixels"), ""),
        ("rendered_psnr_db", lambda c: c.ratio("rendered/psnr", "rendered/looks"), ""),
    ]  # fmt: skip
    if any("wide_4d/tp" in c.values for c in rides):
        figures += [(f"obstacle_iou_4m_{who}", partial(Counts.obstacle_iou, name=f"wide_{who}"), "") for who in ("3d", "4d")]
    return [Result(label + name, figure(total(rides)), "", len(rides), _interval(figure, rides), target) for name, figure, target in figures]


def best_thresholds(rides: Sequence[Counts]) -> Thresholds:
    """Of rides counted with `sweep`: the best obstacle IoU of the map, the near map's best recall at `WANTED_PRECISION`, and the pair of `best_ahead`."""
    c = total(rides)
    wide = max(SWEPT, key=lambda t: c.obstacle_iou(f"wide@{t:g}"))
    enough = [t for t in SWEPT if c.ratio(f"near@{t:g}/said_right", f"near@{t:g}/said") >= WANTED_PRECISION]
    near = min(enough, default=SWEPT[-1])
    return Thresholds(wide, near, *best_ahead(c)) if "copy_1s/tp" in c.values else Thresholds(wide, near)


def best_ahead(c: Counts) -> tuple[float, float]:
    """The thresholds of what stands and of who walks, a second ahead.

    Of the pairs that are no worse than copying over all cells: those that do for moving cells what is wanted, and a tenth more, since other worlds may
    be harder, or else as much as can be had; and of these the best over all cells.
    """

    def ratios(pair: tuple[float, float]) -> tuple[float, float]:
        stands, walks = pair
        shares = [c.obstacle_iou(f"ahead{kind}@{stands:g}@{walks:g}") / max(c.obstacle_iou(f"copy{kind}_1s"), 1e-6) for kind in ("_moving", "")]
        return min(shares[0], 1.1 * WANTED_MOVING), shares[1]

    pairs = list(product(SWEPT, SWEPT_MOVERS))
    return max([pair for pair in pairs if ratios(pair)[1] >= 1.0] or pairs, key=ratios)


def forecast_results(rides: Sequence[Counts], moments_s: Sequence[float]) -> list[Result]:
    """Obstacle IoU ahead, where somebody in view moves, and how it compares with copying."""
    out = []
    for moment in (f"{m:g}s" for m in moments_s if m > 0.0):
        for kind, target in (("", f"≥ {WANTED_AHEAD}"), ("moving_", f"≥ {WANTED_MOVING}")):
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

