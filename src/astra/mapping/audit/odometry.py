"""The map against odometry: over a few metres odometry has not drifted yet, so a map that departs from it there is wrong there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, FloatArray, IntArray
from astra.geometry import wrap_angle
from astra.mapping.audit.findings import Break, Doubt
from astra.mapping.keyframes import Keyframe
from astra.mapping.metric import MetricFragment


@dataclass(frozen=True, slots=True)
class OdometryTrust:
    """How far odometry may be off after a stretch, one sigma, and how many sigmas make a contradiction."""

    shift_m: float = 0.03  # of any stretch: stamps, lever arms, the map's own noise
    shift_ratio: float = 0.015  # of its length
    turn_rad: float = math.radians(0.6)
    turn_per_m: float = math.radians(0.15)
    turn_per_rad: float = 0.025
    slip_m: float = 0.08  # that a single step may slip, over and above
    sigmas: float = 4.0
    windows_m: tuple[float, ...] = (2.5, 8.0, 20.0)
    max_scale_change: float = 0.12  # between the windows before and after a keyframe
    min_share: float = 0.03  # of the windows that must fail before one that no step explains counts

    def __post_init__(self) -> None:
        for name in ("shift_m", "shift_ratio", "turn_rad", "turn_per_m", "turn_per_rad", "slip_m"):
            require(0.0 <= getattr(self, name) < 2.0, name, getattr(self, name), "in [0, 2)")
        require(self.sigmas > 0.0, "sigmas", self.sigmas, "> 0")
        require(all(0.2 <= w <= 100.0 for w in self.windows_m), "windows_m", self.windows_m, "each 0.2 … 100")
        require(0.0 < self.max_scale_change < 1.0, "max_scale_change", self.max_scale_change, "in (0, 1)")
        require(0.0 <= self.min_share < 1.0, "min_share", self.min_share, "in [0, 1)")


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """Stretches of one tour from keyframe `first` to `last` (ids), as odometry and the map have them, in base_link at `first`.

    odometry, mapped: (W, 3) x, y [m], heading [rad]. length_m, turned_rad: (W,) along odometry's path.
    """

    first: IntArray
    last: IntArray
    odometry: FloatArray
    mapped: FloatArray
    length_m: FloatArray
    turned_rad: FloatArray

    def shift_m(self, mounted: bool) -> FloatArray:
        """(W,) how far the two ends disagree; of a camera whose mounting is not known only the distance is compared."""
        if mounted:
            return np.asarray(np.linalg.norm(self.odometry[:, :2] - self.mapped[:, :2], axis=1))
        return np.asarray(np.abs(np.linalg.norm(self.odometry[:, :2], axis=1) - np.linalg.norm(self.mapped[:, :2], axis=1)))

    def turn_rad(self) -> FloatArray:
        """(W,) how far the two headings disagree."""
        difference = self.odometry[:, 2] - self.mapped[:, 2]
        return np.asarray(np.abs((difference + math.pi) % (2.0 * math.pi) - math.pi))

    def contradict(self, trust: OdometryTrust, mounted: bool, slip_m: float) -> BoolArray:
        """(W,) whether the map cannot be right if odometry is as good as `trust` says."""
        turn_sigma = np.sqrt(trust.turn_rad**2 + (trust.turn_per_m * self.length_m) ** 2 + (trust.turn_per_rad * self.turned_rad) ** 2)
        shift_sigma = np.sqrt(trust.shift_m**2 + slip_m**2 + (trust.shift_ratio * self.length_m) ** 2 + (0.6 * self.length_m * turn_sigma) ** 2)
        wrong = self.shift_m(mounted) > trust.sigmas * shift_sigma
        return np.asarray(wrong | (mounted & (self.turn_rad() > trust.sigmas * turn_sigma)))


def steps(fragment: MetricFragment, keyframes: Sequence[Keyframe]) -> Stretches:
    """From every mapped keyframe to the next mapped one of its tour."""
    known = _known(fragment, keyframes)
    return _stretches(fragment, known, [(i, i + 1) for i in range(len(known) - 1) if known[i].tour == known[i + 1].tour])


def windows(fragment: MetricFragment, keyframes: Sequence[Keyframe], length_m: float) -> Stretches:
    """From every mapped keyframe to the first one that lies `length_m` of path ahead."""
    known = _known(fragment, keyframes)
    path = np.concatenate([[0.0], np.cumsum([_moved(a, b)[0] for a, b in itertools.pairwise(known)])])
    ends = np.searchsorted(path, path + length_m)
    return _stretches(fragment, known, [(i, int(j)) for i, j in enumerate(ends) if j < len(known) and known[i].tour == known[int(j)].tour])


def against_odometry(
    fragment: MetricFragment, keyframes: Sequence[Keyframe], mounted: bool, trust: OdometryTrust | None = None
) -> tuple[list[Break], list[Doubt]]:
    """Where the fragment must be cut because one step or a change of scale contradicts odometry, and what stays contradicted elsewhere."""
    trust = trust or OdometryTrust()
    single = steps(fragment, keyframes)
    broken = single.contradict(trust, mounted, trust.slip_m)
    shift = single.shift_m(mounted)
    cuts = [
        Break(int(single.first[k]), int(single.last[k]), f"odometry moved {single.length_m[k]:.2f} m, the map is {shift[k]:.2f} m off")
        for k in np.flatnonzero(broken)
    ]
    if fragment.scale.source == "odometry":
        mapped = [k.id for k in _known(fragment, keyframes)]
        cuts += _scale_changes(windows(fragment, keyframes, trust.windows_m[0]), mapped, cuts, trust)
    doubts = []
    for length_m in trust.windows_m:
        window = windows(fragment, keyframes, length_m)
        wrong = window.contradict(trust, mounted, 0.0)
        wrong &= ~_crossing(window, cuts)  # what a cut explains needs no second word
        if wrong.sum() > max(1.0, trust.min_share * len(wrong)):
            worst = int(np.argmax(np.where(wrong, window.shift_m(mounted) / window.length_m, -1.0)))
            a, b = int(window.first[worst]), int(window.last[worst])
            doubts.append(
                Doubt(
                    a,
                    b,
                    f"the map departs from odometry over {int(wrong.sum())} of {len(wrong)} stretches of {length_m:g} m, "
                    f"most between nodes {a} and {b}: {window.shift_m(mounted)[worst]:.2f} m, {math.degrees(window.turn_rad()[worst]):.0f}°",
                )
            )
    return cuts, doubts


def confirmed_steps(fragment: MetricFragment, keyframes: Sequence[Keyframe], mounted: bool, trust: OdometryTrust | None = None) -> set[tuple[int, int]]:
    """Steps over which odometry and the map agree twice as well as they must, over every shortest window that covers them."""
    trust = trust or OdometryTrust()
    strict = replace(trust, sigmas=0.5 * trust.sigmas)
    window = windows(fragment, keyframes, trust.windows_m[0])
    wrong = window.contradict(strict, mounted, 0.0)
    out = set()
    single = steps(fragment, keyframes)
    for before, after in zip(single.first.tolist(), single.last.tolist()):
        over = (window.first <= before) & (window.last >= after)
        if over.any() and not wrong[over].any():
            out.add((before, after))
    return out


def _crossing(window: Stretches, cuts: Sequence[Break]) -> BoolArray:
    out = np.zeros(len(window.first), dtype=bool)
    for cut in cuts:
        out |= (window.first <= cut.before) & (window.last >= cut.after)
    return out


def _scale_changes(window: Stretches, ids: Sequence[int], cuts: Sequence[Break], trust: OdometryTrust) -> list[Break]:
    """Cuts where the map's unit changes: the median ratio of the five windows that end at a keyframe against that of the five that start there."""
    count = 5
    in_odometry, in_map = np.linalg.norm(window.odometry[:, :2], axis=1), np.linalg.norm(window.mapped[:, :2], axis=1)
    usable = (in_odometry > 0.5 * window.length_m) & ~_crossing(window, cuts)
    if usable.sum() < 2 * count:
        return []
    first, last = window.first[usable], window.last[usable]
    ratio = np.log(np.maximum(in_map[usable], 1e-6) / in_odometry[usable])
    change = np.zeros(len(first))
    for k in range(len(first)):
        past, coming = np.flatnonzero(last <= first[k])[-count:], np.arange(k, min(k + count, len(first)))
        if len(past) == count and len(coming) == count:
            change[k] = float(np.median(ratio[coming]) - np.median(ratio[past]))
    found = []
    size = np.abs(change)
    while size.size and size.max() > -math.log1p(-trust.max_scale_change):
        k = int(np.argmax(size))
        factor = math.exp(change[k])
        after = int(first[k])
        before = max(known for known in ids if known < after)
        found.append(Break(before, after, f"against odometry the map's scale changes by a factor of {factor:.2f}"))
        reach = np.flatnonzero(last <= first[k])[-count], min(k + 2 * count, len(first) - 1)
        size[(first >= first[reach[0]]) & (first <= last[reach[1]])] = 0.0
    return found


def _known(fragment: MetricFragment, keyframes: Sequence[Keyframe]) -> list[Keyframe]:
    return [k for k in sorted(keyframes, key=lambda k: k.id) if k.odom_from_base is not None and k.id in fragment.map_from_base]


def _moved(a: Keyframe, b: Keyframe) -> tuple[float, float]:
    """Metres and radians between two keyframes by odometry; a tour's first step counts nothing."""
    if a.tour != b.tour or a.odom_from_base is None or b.odom_from_base is None:
        return 0.0, 0.0
    return a.odom_from_base.distance_to(b.odom_from_base), abs(wrap_angle(b.odom_from_base.yaw - a.odom_from_base.yaw))


def _stretches(fragment: MetricFragment, known: Sequence[Keyframe], pairs: Sequence[tuple[int, int]]) -> Stretches:
    moved = np.array([(0.0, 0.0), *(_moved(a, b) for a, b in itertools.pairwise(known))]).reshape(-1, 2)
    path, turned = np.cumsum(moved, axis=0).T
    odometry, mapped = [], []
    for i, j in pairs:
        start, end = known[i], known[j]
        assert start.odom_from_base is not None and end.odom_from_base is not None
        by_odometry = start.odom_from_base.inverse() @ end.odom_from_base
        by_map = (fragment.map_from_base[start.id].inverse() @ fragment.map_from_base[end.id]).pose2()
        odometry.append((by_odometry.x, by_odometry.y, by_odometry.yaw))
        mapped.append((by_map.x, by_map.y, by_map.yaw))
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    ids = np.array([k.id for k in known], dtype=np.int64)
    return Stretches(
        ids[ends[:, 0]],
        ids[ends[:, 1]],
        np.array(odometry).reshape(-1, 3),
        np.array(mapped).reshape(-1, 3),
        path[ends[:, 1]] - path[ends[:, 0]],
        turned[ends[:, 1]] - turned[ends[:, 0]],
    )
