"""Stage 3: which images to compare (sequential, near by odometry, retrieved loops), and their matches.

Odometry bounds what may be compared at all: two corridors that look alike but lie 20 m apart never meet here, which is the cheapest
defence against a false loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, Float32Array, FloatArray, IntArray
from astra.geometry import CameraRig, Pose2, Pose3, RigCamera
from astra.mapping.features import ViewSet
from astra.mapping.keyframes import Keyframe
from astra.perception.local import LocalFeatureConfig, match_units, unit_descriptors


@dataclass(frozen=True, slots=True)
class PairConfig:
    """How many comparisons an image gets."""

    window: int = 5  # keyframes ahead that count as sequential
    sequential: int = 10  # pairs an image has with the keyframes ahead of it, best overlap first
    loops: int = 4  # pairs an image has with the rest of the tour, most alike first
    min_overlap: float = 0.25  # share of one image's view volume that the other sees, by odometry
    max_view_angle_rad: float = math.radians(75.0)  # between two viewing directions; beyond it SIFT matches nothing
    loop_radius_m: float = 2.5  # without drift, images further apart are not compared
    drift: float = 0.04  # of the path between two keyframes, added to the radius
    exhaustive_below: int = 60  # so few images without odometry are all compared with each other

    def __post_init__(self) -> None:
        require(1 <= self.window <= 100, "window", self.window, "1 … 100")
        require(1 <= self.sequential <= 200, "sequential", self.sequential, "1 … 200")
        require(0 <= self.loops <= 200, "loops", self.loops, "0 … 200")
        require(0.0 <= self.min_overlap <= 1.0, "min_overlap", self.min_overlap, "in [0, 1]")
        require(0.0 < self.max_view_angle_rad <= math.pi, "max_view_angle_rad", self.max_view_angle_rad, "in (0, π]")
        require(self.loop_radius_m > 0.0, "loop_radius_m", self.loop_radius_m, "> 0")
        require(0.0 <= self.drift <= 1.0, "drift", self.drift, "in [0, 1]")
        require(self.exhaustive_below >= 0, "exhaustive_below", self.exhaustive_below, "≥ 0")


@dataclass(frozen=True, slots=True, eq=False)
class PairMatches:
    """Matches of one pair of views: ids a < b and (K, 2) int64 rows of their features."""

    a: int
    b: int
    rows: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class _ViewTable:
    """One row a view, in the order of `ViewSet`."""

    keyframe: IntArray  # index into the keyframes
    camera: IntArray  # index into the rig
    tour: IntArray


def choose_pairs(keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig], views: ViewSet, config: PairConfig) -> list[tuple[int, int]]:
    """Pairs of view ids (a, b), a < b, that are worth comparing.

    Args:
        rigs: one a tour.
    """
    table = _table(keyframes, rigs, views)
    chosen: set[tuple[int, int]] = set()
    if all(keyframe.odom_from_base is not None for keyframe in keyframes):
        chosen |= _with_odometry(keyframes, rigs, table, views, config)
    else:
        chosen |= _without_odometry(table, views, config)
    ids = views.ids
    return sorted((int(min(ids[i], ids[j])), int(max(ids[i], ids[j]))) for i, j in chosen)


def match_pairs(
    pairs: Sequence[tuple[int, int]],
    views: ViewSet,
    config: LocalFeatureConfig,
    threads: int = 2,
    tick: Callable[[int], None] = lambda done: None,
    min_matches: int = 15,
) -> list[PairMatches]:
    """Match the pairs; those with fewer than `min_matches` are left out."""
    row_of = {int(view_id): k for k, view_id in enumerate(views.ids)}

    @lru_cache(maxsize=256)
    def unit(k: int) -> Float32Array:
        return unit_descriptors(views.descriptors[views.rows(k)])

    def one(pair: tuple[int, int]) -> PairMatches:
        return PairMatches(*pair, match_units(unit(row_of[pair[0]]), unit(row_of[pair[1]]), config))

    out = []
    with ThreadPoolExecutor(threads) as pool:
        for lo in range(0, len(pairs), 128):
            batch = pairs[lo : lo + 128]
            out += [m for m in pool.map(one, batch) if len(m.rows) >= min_matches]
            tick(len(batch))
    return out


def save_matches(path: Path, matches: Sequence[PairMatches]) -> None:
    """Write to one .npz in the work folder."""
    pairs = np.array([(m.a, m.b) for m in matches], dtype=np.int64).reshape(-1, 2)
    counts = np.cumsum([0] + [len(m.rows) for m in matches])
    rows = np.concatenate([m.rows for m in matches]) if matches else np.zeros((0, 2), np.int64)
    np.savez(path, pairs=pairs, offsets=counts, rows=rows.astype(np.int32))


def load_matches(path: Path) -> list[PairMatches]:
    """Read what `save_matches` wrote."""
    with np.load(path, allow_pickle=False) as data:
        pairs, offsets, rows = data["pairs"], data["offsets"], data["rows"].astype(np.int64)
    return [PairMatches(int(a), int(b), rows[offsets[k] : offsets[k + 1]]) for k, (a, b) in enumerate(pairs)]


def _table(keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig], views: ViewSet) -> _ViewTable:
    where = {view.id: (k, rigs[f.tour].names.index(view.camera), f.tour) for k, f in enumerate(keyframes) for view in f.views}
    rows = np.array([where[int(view_id)] for view_id in views.ids], dtype=np.int64).reshape(-1, 3)
    return _ViewTable(rows[:, 0], rows[:, 1], rows[:, 2])


def _without_odometry(table: _ViewTable, views: ViewSet, config: PairConfig) -> set[tuple[int, int]]:
    """Every image with the next ones of its tour, at growing gaps, and with the most alike of all others."""
    n = len(views)
    if n <= config.exhaustive_below:
        return {(i, j) for i in range(n) for j in range(i + 1, n)}
    chosen = set()
    gaps = set(range(1, config.window + 1)) | {2**k for k in range(3, 6)}
    for i in range(n):
        ahead = np.isin(table.keyframe - table.keyframe[i], list(gaps)) & (table.tour == table.tour[i])
        chosen |= {(i, int(j)) for j in np.flatnonzero(ahead)}
    for i, j in _most_alike(views.place, np.abs(table.keyframe[:, None] - table.keyframe) > config.window, 2 * config.loops):
        chosen.add((i, j))
    return chosen


def _with_odometry(
    keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig], table: _ViewTable, views: ViewSet, config: PairConfig
) -> set[tuple[int, int]]:
    """Views that overlap by odometry: the best of the keyframes ahead, and of the rest those that also look alike."""
    base = [f.odom_from_base or Pose2() for f in keyframes]
    odom_from_cam = [
        Pose3.from_pose2(base[k]) @ rigs[t].cameras[c].base_from_cam for k, c, t in zip(table.keyframe, table.camera, table.tour)
    ]
    positions = np.array([[p.x, p.y] for p in base])
    steps = np.linalg.norm(np.diff(positions, axis=0, prepend=positions[:1]), axis=1)
    travelled = np.cumsum(steps)[table.keyframe]
    frusta = [_frustum(rigs[t].cameras[c], odom_from_cam[i]) for i, (c, t) in enumerate(zip(table.camera, table.tour))]
    chosen: set[tuple[int, int]] = set()
    same_tour = table.tour[:, None] == table.tour
    gap = table.keyframe[:, None] - table.keyframe
    near = np.linalg.norm(positions[table.keyframe][:, None] - positions[table.keyframe], axis=2)
    plausible = near < config.loop_radius_m + config.drift * np.abs(travelled[:, None] - travelled)
    axes = np.array([p.rotation[:, 2] for p in odom_from_cam])
    plausible &= axes @ axes.T > math.cos(config.max_view_angle_rad)
    sequential = same_tour & plausible & (gap < 0) & (gap >= -config.window)
    overlap = _overlaps(frusta, odom_from_cam, rigs, table, sequential | (plausible & (np.abs(gap) > config.window)))
    for i in range(len(views)):
        ahead = np.flatnonzero(sequential[i] & (overlap[i] >= config.min_overlap))
        best = ahead[np.argsort(-overlap[i, ahead], kind="stable")][: config.sequential]
        chosen |= {(i, int(j)) for j in best}
    loops = same_tour & plausible & (np.abs(gap) > config.window) & (overlap >= config.min_overlap)
    loops |= ~same_tour  # another tour's odometry has its own origin: only the pictures can tell
    chosen |= set(_most_alike(views.place, loops, config.loops))
    return chosen


def _most_alike(place: Float32Array, allowed: BoolArray, count: int) -> Iterator[tuple[int, int]]:
    """For each row the `count` allowed others with the highest place similarity, as pairs (i, j), i < j."""
    if count == 0 or place.shape[1] == 0:
        return
    for i in range(len(place)):
        others = np.flatnonzero(allowed[i])
        similarity = place[others] @ place[i]
        for j in others[np.argsort(-similarity, kind="stable")][:count]:
            if i != j:
                yield min(i, int(j)), max(i, int(j))


def _frustum(camera: RigCamera, odom_from_cam: Pose3) -> FloatArray:
    """Points (36, 3) [m, odom] that fill the camera's view between 1 and 4 m."""
    u = np.linspace(0.1, 0.9, 4) * camera.model.width
    v = np.linspace(0.2, 0.8, 3) * camera.model.height
    grid = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    rays = np.column_stack([camera.model.unproject(grid), np.ones(len(grid))])
    return odom_from_cam.apply(np.concatenate([rays * depth for depth in (1.0, 2.0, 4.0)]))


def _overlaps(
    frusta: Sequence[FloatArray], odom_from_cam: Sequence[Pose3], rigs: Sequence[CameraRig], table: _ViewTable, wanted: BoolArray
) -> Float32Array:
    """(V, V) share of view i's volume that view j sees, averaged with the reverse; 0 where not wanted."""
    n = len(frusta)
    seen = np.zeros((n, n), dtype=np.float32)
    wanted = wanted | wanted.T
    for j in range(n):
        others = np.flatnonzero(wanted[:, j])
        if len(others) == 0:
            continue
        model = rigs[table.tour[j]].cameras[table.camera[j]].model
        points = odom_from_cam[j].inverse().apply(np.concatenate([frusta[int(i)] for i in others]))
        _, visible = model.project(points)
        seen[others, j] = visible.reshape(len(others), -1).mean(axis=1)
    return 0.5 * (seen + seen.T)
