"""Stage 3: which images to compare (sequential, near by odometry, retrieved loops), and their matches.

Odometry bounds what may be compared at all: two corridors that look alike but lie 20 m apart never meet here, which is the cheapest
defence against a false loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, IntArray, UInt8Array
from astra.geometry import CameraRig, Pose2, Pose3
from astra.mapping.features import ViewSet
from astra.mapping.keyframes import Keyframe
from astra.mapping.parallel import Workers
from astra.mapping.place_index import most_alike
from astra.mapping.view_overlap import Viewpoints
from astra.perception.local import LocalFeatureConfig, match_units, unit_descriptors

CHUNK = 128  # pairs that are compared together


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
class _Piece:
    """Pairs of view ids, and the descriptors of all views in them."""

    pairs: Sequence[tuple[int, int]]
    descriptors: dict[int, UInt8Array]
    config: LocalFeatureConfig

    @staticmethod
    def of(pairs: Sequence[tuple[int, int]], views: ViewSet, row_of: Mapping[int, int], config: LocalFeatureConfig) -> _Piece:
        """Take along what the pairs need; `row_of`: view id → its place in `views`."""
        ids = {view for pair in pairs for view in pair}
        return _Piece(pairs, {view: views.descriptors[views.rows(row_of[view])] for view in ids}, config)


@dataclass(frozen=True, slots=True, eq=False)
class _ViewTable:
    """One row a view, in the order of `ViewSet`; `rows` lists the views of each keyframe."""

    keyframe: IntArray  # index into the keyframes
    camera: IntArray  # index into the rig
    tour: IntArray
    rows: list[IntArray]


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
    workers: Workers | None = None,
) -> list[PairMatches]:
    """Match the pairs; those with fewer than `min_matches` are left out.

    Args:
        threads: that compare, where no `workers` do.
    """
    row_of = {int(view_id): k for k, view_id in enumerate(views.ids)}
    pieces = (_Piece.of(pairs[lo : lo + CHUNK], views, row_of, config) for lo in range(0, len(pairs), CHUNK))
    out: list[PairMatches] = []
    with ThreadPoolExecutor(threads) as pool:
        for matched in map(partial(_match, pool), pieces) if workers is None else workers.in_order(partial(_match, None), pieces):
            out += [m for m in matched if len(m.rows) >= min_matches]
            tick(len(matched))
    return out


def _match(pool: Executor | None, piece: _Piece) -> list[PairMatches]:
    units = {view: unit_descriptors(descriptors) for view, descriptors in piece.descriptors.items()}

    def one(pair: tuple[int, int]) -> PairMatches:
        return PairMatches(*pair, match_units(units[pair[0]], units[pair[1]], piece.config))

    return list((map if pool is None else pool.map)(one, piece.pairs))


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
    table = np.array([where[int(view_id)] for view_id in views.ids], dtype=np.int64).reshape(-1, 3)
    order = np.argsort(table[:, 0], kind="stable")
    rows = np.split(order, np.searchsorted(table[order, 0], np.arange(1, len(keyframes))))
    return _ViewTable(table[:, 0], table[:, 1], table[:, 2], rows)


def _without_odometry(table: _ViewTable, views: ViewSet, config: PairConfig) -> set[tuple[int, int]]:
    """Every image with the next ones of its tour, at growing gaps, and with the most alike of all others."""
    n = len(views)
    if n <= config.exhaustive_below:
        return {(i, j) for i in range(n) for j in range(i + 1, n)}
    chosen = set()
    gaps = sorted(set(range(1, config.window + 1)) | {2**k for k in range(3, 6)})
    for i in range(n):
        ahead = [int(table.keyframe[i]) + gap for gap in gaps]
        chosen |= {(i, int(j)) for k in ahead if k < len(table.rows) for j in table.rows[k] if table.tour[j] == table.tour[i]}
    cameras = max((len(rows) for rows in table.rows), default=0)
    found, _ = most_alike(views.place, views.place, 2 * config.loops + (2 * config.window + 1) * cameras)
    for i, others in enumerate(found):
        far = others[np.abs(table.keyframe[others] - table.keyframe[i]) > config.window][: 2 * config.loops]
        chosen |= {(min(i, int(j)), max(i, int(j))) for j in far}
    return chosen


def _with_odometry(
    keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig], table: _ViewTable, views: ViewSet, config: PairConfig
) -> set[tuple[int, int]]:
    """Views that overlap by odometry: the best of the keyframes ahead, and of the rest those that also look alike."""
    base = [f.odom_from_base or Pose2() for f in keyframes]
    first = np.cumsum([0] + [len(rig.cameras) for rig in rigs])
    placed = Viewpoints.of(
        [Pose3.from_pose2(base[k]) @ rigs[t].cameras[c].base_from_cam for k, c, t in zip(table.keyframe, table.camera, table.tour)],
        first[table.tour] + table.camera,
        tuple(camera for rig in rigs for camera in rig.cameras),
    )
    ahead, apart = _near_by_odometry(np.array([[p.x, p.y] for p in base]), keyframes, table, placed, config)
    chosen: set[tuple[int, int]] = set()
    ahead, overlap = _overlapping(ahead, placed, config)
    for i, rows in _by_first(ahead, len(views)):
        best = rows[np.argsort(-overlap[rows], kind="stable")][: config.sequential]
        chosen |= {(i, int(j)) for j in ahead[best, 1]}
    if config.loops == 0 or views.place.shape[1] == 0:
        return chosen
    apart = _likeliest(apart, views, 8 * config.loops)
    apart, _ = _overlapping(apart, placed, config)
    apart = np.concatenate([apart, _of_other_tours(table, views, config)])
    apart = _likeliest(apart, views, config.loops)
    return chosen | {(int(min(i, j)), int(max(i, j))) for i, j in apart}


def _near_by_odometry(
    positions: FloatArray, keyframes: Sequence[Keyframe], table: _ViewTable, placed: Viewpoints, config: PairConfig
) -> tuple[IntArray, IntArray]:
    """Pairs of views (P, 2) of one tour that odometry allows to show the same and that look the same way.

    Returns:
        Those within the window, earlier view first, and those further apart in time, each in both directions.
    """
    from scipy.spatial import cKDTree

    steps = np.linalg.norm(np.diff(positions, axis=0, prepend=positions[:1]), axis=1)
    travelled = np.cumsum(steps)
    tour = np.array([f.tour for f in keyframes])
    axes, narrow = placed.axes(), math.cos(config.max_view_angle_rad)
    ahead, apart = [np.zeros((0, 2), dtype=np.int64)], [np.zeros((0, 2), dtype=np.int64)]
    for t in np.unique(tour):
        mine = np.flatnonzero(tour == t)
        tree = cKDTree(positions[mine])
        furthest = np.maximum(travelled[mine] - travelled[mine[0]], travelled[mine[-1]] - travelled[mine])
        for k, reach in zip(mine, config.loop_radius_m + config.drift * furthest):
            near = mine[tree.query_ball_point(positions[k], reach)]
            way = np.linalg.norm(positions[near] - positions[k], axis=1)
            near = near[(way < config.loop_radius_m + config.drift * np.abs(travelled[near] - travelled[k])) & (near != k)]
            gap = near - k
            for others, out in ((near[(gap > 0) & (gap <= config.window)], ahead), (near[np.abs(gap) > config.window], apart)):
                if len(others):
                    a, b = (grid.ravel() for grid in np.meshgrid(table.rows[k], np.concatenate([table.rows[o] for o in others]), indexing="ij"))
                    same = np.einsum("pi,pi->p", axes[a], axes[b]) > narrow
                    out.append(np.stack([a[same], b[same]], axis=1))
    return np.concatenate(ahead), np.concatenate(apart)


def _overlapping(pairs: IntArray, placed: Viewpoints, config: PairConfig) -> tuple[IntArray, FloatArray]:
    """The pairs that overlap enough, and by how much."""
    overlap = placed.overlaps(pairs[:, 0], pairs[:, 1])
    keep = overlap >= config.min_overlap
    return pairs[keep], overlap[keep]


def _likeliest(pairs: IntArray, views: ViewSet, count: int) -> IntArray:
    """Of each first view's pairs the `count` whose places look most alike."""
    kept = [np.zeros((0, 2), dtype=np.int64)]
    for i, rows in _by_first(pairs, len(views)):
        others = np.unique(pairs[rows, 1])
        best = others[np.argsort(-(views.place[others] @ views.place[i]), kind="stable")][:count]
        kept.append(np.stack([np.full(len(best), i), best], axis=1))
    return np.concatenate(kept)


def _of_other_tours(table: _ViewTable, views: ViewSet, config: PairConfig) -> IntArray:
    """Another tour's odometry has its own origin: only the pictures can tell. Pairs (P, 2) of views of different tours."""
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for t in np.unique(table.tour):
        mine, others = np.flatnonzero(table.tour == t), np.flatnonzero(table.tour != t)
        found, _ = most_alike(views.place[mine], views.place[others], config.loops)
        pairs.append(np.stack([np.repeat(mine, found.shape[1]), others[found.ravel()]], axis=1))
    return np.concatenate(pairs)


def _by_first(pairs: IntArray, count: int) -> Iterator[tuple[int, IntArray]]:
    """For each view that comes first in some pairs (P, 2), the rows of those."""
    order = np.argsort(pairs[:, 0], kind="stable")
    bounds = np.searchsorted(pairs[order, 0], np.arange(count + 1))
    for i in range(count):
        if bounds[i] < bounds[i + 1]:
            yield i, order[bounds[i] : bounds[i + 1]]
