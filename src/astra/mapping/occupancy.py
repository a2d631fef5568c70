"""Occupancy grid from the tour's planar scans, at the poses that SfM has refined; free where the robot drove.

However long the robot looks on, one stretch of time has one vote on a cell: whoever stood there for a while and is seen through before or
after leaves no mark. Who stood there all the time that the robot looked cannot be told from a pillar.
Between keyframes the correction map_from_odom is interpolated, so that every scan gets odometry's smoothness and SfM's truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, Float32Array, FloatArray, IntArray, LaserScan, nanoseconds
from astra.geometry import Pose2, Trajectory, wrap_angle
from astra.geometry.distance import distance_to_occupied
from astra.mapping.keyframes import Keyframe


@dataclass(frozen=True, slots=True)
class OccupancyConfig:
    """The grid and how evidence adds up, in log-odds."""

    resolution_m: float = 0.05
    max_range_m: float = 8.0
    min_step_m: float = 0.1  # scans nearer than this, and turned less than min_turn_rad, add nothing
    min_turn_rad: float = math.radians(5.0)
    hit: float = 0.85
    miss: float = -0.35
    limit: float = 5.0
    visit_s: float = 5.0  # how long a stretch of time is that has one vote
    visit_limit: float = 1.7  # what a vote weighs at most
    occupied_above: float = 0.6
    free_below: float = -0.6
    driven_radius_m: float = 0.22  # of the robot that drove the tour
    margin_m: float = 1.0  # around what was seen
    max_cells: int = 40_000_000

    def __post_init__(self) -> None:
        require(0.01 <= self.resolution_m <= 0.5, "resolution_m", self.resolution_m, "0.01 … 0.5")
        require(self.max_range_m > 0.0, "max_range_m", self.max_range_m, "> 0")
        require(self.min_step_m >= 0.0, "min_step_m", self.min_step_m, "≥ 0")
        require(self.min_turn_rad >= 0.0, "min_turn_rad", self.min_turn_rad, "≥ 0")
        require(self.hit > 0.0, "hit", self.hit, "> 0")
        require(self.miss < 0.0, "miss", self.miss, "< 0")
        require(self.free_below < self.occupied_above, "free_below", self.free_below, "below occupied_above")
        require(self.limit > max(self.occupied_above, -self.free_below), "limit", self.limit, "beyond both thresholds")
        require(self.visit_s > 0.0, "visit_s", self.visit_s, "> 0")
        require(0.0 < self.visit_limit <= self.limit, "visit_limit", self.visit_limit, "in (0, limit]")
        require(self.driven_radius_m >= 0.0, "driven_radius_m", self.driven_radius_m, "≥ 0")
        require(self.margin_m >= 0.0, "margin_m", self.margin_m, "≥ 0")


@dataclass(frozen=True, slots=True, eq=False)
class Occupancy:
    """log_odds: (H, W) float32, row 0 at the smallest y; cell (0, 0)'s corner lies at `origin` (2,) [m, map]. 0 is unknown."""

    log_odds: Float32Array
    origin: FloatArray
    config: OccupancyConfig

    @property
    def occupied(self) -> BoolArray:
        """(H, W) cells that hold an obstacle."""
        return self.log_odds > np.float32(self.config.occupied_above)

    @property
    def free(self) -> BoolArray:
        """(H, W) cells that were seen through or driven over."""
        return self.log_odds < np.float32(self.config.free_below)

    def clearance_m(self) -> Float32Array:
        """(H, W) distance [m] to the nearest occupied cell."""
        return distance_to_occupied(self.occupied, self.config.resolution_m)

    def cells(self, points_map: FloatArray) -> IntArray:
        """(..., 2) int64 (row, column) of points (..., 2) [m, map]; may lie outside."""
        xy = np.floor((np.asarray(points_map, dtype=np.float64) - self.origin) / self.config.resolution_m).astype(np.int64)
        return xy[..., ::-1]


def refined_trajectory(keyframes: Sequence[Keyframe], map_from_base: Mapping[int, Pose2], odometry: Trajectory) -> Trajectory:
    """map_from_base at every odometry stamp: odometry carried by the correction map_from_odom, interpolated between keyframes."""
    known = [k for k in keyframes if k.id in map_from_base and k.odom_from_base is not None]
    corrections = []
    for keyframe in known:
        assert keyframe.odom_from_base is not None
        corrections.append(map_from_base[keyframe.id] @ keyframe.odom_from_base.inverse())
    stamps = np.array([k.stamp_ns for k in known], dtype=np.int64)
    after = np.clip(np.searchsorted(stamps, odometry.stamps_ns), 1, max(len(stamps) - 1, 1))
    out = np.empty((len(odometry.stamps_ns), 3))
    for row, (stamp, (x, y, yaw)) in enumerate(zip(odometry.stamps_ns.tolist(), odometry.poses.tolist())):
        odom_from_base = Pose2(x, y, yaw)
        if len(known) == 1:
            pose = corrections[0] @ odom_from_base
        else:
            i = int(after[row])
            u = float(np.clip((stamp - stamps[i - 1]) / max(int(stamps[i] - stamps[i - 1]), 1), 0.0, 1.0))
            # Both ends' answers are blended at the robot, not at odometry's distant origin.
            a, b = corrections[i - 1] @ odom_from_base, corrections[i] @ odom_from_base
            pose = Pose2(a.x + u * (b.x - a.x), a.y + u * (b.y - a.y), a.yaw + u * wrap_angle(b.yaw - a.yaw))
        out[row] = (pose.x, pose.y, pose.yaw)
    return Trajectory(odometry.stamps_ns, out)


def stretches(track: Trajectory, scans: Sequence[LaserScan], here: IntArray, elsewhere: IntArray) -> list[tuple[Trajectory, list[LaserScan]]]:
    """The parts of a tour that the map's own fragment places; where the nearest keyframe belongs to another one, odometry alone says nothing.

    Args:
        here, elsewhere: stamps [ns] of the keyframes in the map's fragment and in the others, ascending.
    """
    if len(elsewhere) == 0:
        return [(track, list(scans))]
    mine = _to_nearest(track.stamps_ns, here) <= _to_nearest(track.stamps_ns, elsewhere)
    changes = np.flatnonzero(np.diff(mine)) + 1
    out = []
    for rows in np.split(np.arange(len(mine)), changes):
        if mine[rows[0]] and len(rows) > 1:
            part = Trajectory(track.stamps_ns[rows], track.poses[rows])
            first, last = int(part.stamps_ns[0]), int(part.stamps_ns[-1])
            out.append((part, [scan for scan in scans if first <= scan.stamp_ns <= last]))
    return out


def _to_nearest(stamps_ns: IntArray, others_ns: IntArray) -> IntArray:
    after = np.clip(np.searchsorted(others_ns, stamps_ns), 0, len(others_ns) - 1)
    before = np.maximum(after - 1, 0)
    nearest: IntArray = np.minimum(np.abs(others_ns[after] - stamps_ns), np.abs(others_ns[before] - stamps_ns))
    return nearest


def build_occupancy(
    tracks: Sequence[tuple[Trajectory, Sequence[LaserScan], Mapping[str, Pose2]]], config: OccupancyConfig | None = None
) -> Occupancy | None:
    """The grid of all tours, or None where nothing was scanned.

    Args:
        tracks: per tour its refined trajectory in the map frame, its scans, and base_from_sensor by the scans' frame.
    """
    config = config or OccupancyConfig()
    chosen = [(pose @ mounts[scan.frame], scan) for track, scans, mounts in tracks for pose, scan in _spaced(track, scans, config)]
    driven = np.concatenate([np.zeros((0, 2)), *(track.poses[:, :2] for track, scans, _ in tracks if len(scans))])
    return grid_of_scans(chosen, driven, config)


def grid_of_scans(scans: Sequence[tuple[Pose2, LaserScan]], driven: FloatArray, config: OccupancyConfig) -> Occupancy | None:
    """The grid of scans in time order with map_from_sensor each, free at `driven` (N, 2); None without scans."""
    if not scans:
        return None
    grid = empty_grid([_endpoints(pose, scan, config) for pose, scan in scans], driven, config)
    for visit in _visits(scans, config):
        _add_visit(grid, visit)
    clear_driven(grid, driven)
    return grid


def _visits(scans: Sequence[tuple[Pose2, LaserScan]], config: OccupancyConfig) -> Iterator[list[tuple[Pose2, LaserScan]]]:
    """Scans that follow each other within `visit_s`."""
    visit: list[tuple[Pose2, LaserScan]] = []
    for entry in scans:
        if visit and abs(entry[1].stamp_ns - visit[0][1].stamp_ns) > nanoseconds(config.visit_s):
            yield visit
            visit = []
        visit.append(entry)
    if visit:
        yield visit


def _add_visit(grid: Occupancy, visit: Sequence[tuple[Pose2, LaserScan]]) -> None:
    """Add what the scans of one visit say together, at most `visit_limit` either way."""
    config = grid.config
    vote = Occupancy(np.zeros_like(grid.log_odds), grid.origin, config)
    for map_from_sensor, scan in visit:
        add_scan(vote, map_from_sensor, scan)
    np.clip(vote.log_odds, -config.visit_limit, config.visit_limit, out=vote.log_odds)
    np.clip(grid.log_odds + vote.log_odds, -config.limit, config.limit, out=grid.log_odds)


def add_scan(grid: Occupancy, map_from_sensor: Pose2, scan: LaserScan) -> None:
    """Lower the log-odds of cells that the rays pass and raise those they hit; changes the grid in place."""
    import cv2

    config = grid.config
    ranges, hit = _valid(scan, config)
    if len(ranges) < 2:
        return
    angles = scan.angles().astype(np.float64) + map_from_sensor.yaw
    sensor = np.array([map_from_sensor.x, map_from_sensor.y])
    ends = sensor + ranges[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    passed = np.zeros(grid.log_odds.shape, dtype=np.uint8)
    # A wedge between two beams is free only as far as the nearer of them saw: no obstacle vanishes behind a neighbour's longer ray.
    reach = np.minimum(ranges[:-1], ranges[1:])
    left = sensor + reach[:, None] * np.stack([np.cos(angles[:-1]), np.sin(angles[:-1])], axis=1)
    right = sensor + reach[:, None] * np.stack([np.cos(angles[1:]), np.sin(angles[1:])], axis=1)
    outline = np.concatenate([np.stack([left, right], axis=1).reshape(-1, 2), sensor[None]])
    fraction = 16.0  # cv2 takes fixed-point coordinates; a cell's centre is its integer
    polygon = np.rint(((outline - grid.origin) / config.resolution_m - 0.5) * fraction).astype(np.int32)
    cv2.fillPoly(passed, [polygon], (1,), lineType=cv2.LINE_8, shift=4)
    cells = grid.cells(ends[hit])
    inside = np.all((cells >= 0) & (cells < np.array(passed.shape)), axis=1)
    rows, columns = cells[inside, 0], cells[inside, 1]
    passed[rows, columns] = 0
    change = passed.astype(np.float32) * np.float32(config.miss)
    change[rows, columns] = np.float32(config.hit)
    np.clip(grid.log_odds + change, -config.limit, config.limit, out=grid.log_odds)


def write_nav2_map(grid: Occupancy, folder: Path, name: str = "map") -> None:
    """Write `name.yaml` and `name.pgm` as Nav2's map_server reads them (trinary; row 0 of the image is the largest y)."""
    image = np.full(grid.log_odds.shape, 205, dtype=np.uint8)
    image[grid.free] = 254
    image[grid.occupied] = 0
    flipped = np.ascontiguousarray(image[::-1])
    folder.mkdir(parents=True, exist_ok=True)
    header = f"P5\n{flipped.shape[1]} {flipped.shape[0]}\n255\n".encode("ascii")
    (folder / f"{name}.pgm").write_bytes(header + flipped.tobytes())
    x, y = (round(float(v), 4) for v in grid.origin)
    (folder / f"{name}.yaml").write_text(
        f"image: {name}.pgm\nmode: trinary\nresolution: {grid.config.resolution_m}\norigin: [{x}, {y}, 0.0]\n"
        "negate: 0\noccupied_thresh: 0.65\nfree_thresh: 0.196\n",
        encoding="utf-8",
    )


def _spaced(track: Trajectory, scans: Sequence[LaserScan], config: OccupancyConfig) -> list[tuple[Pose2, LaserScan]]:
    """Scans at poses that differ, inside the time that the trajectory covers."""
    out: list[tuple[Pose2, LaserScan]] = []
    for scan in scans:
        if not int(track.stamps_ns[0]) <= scan.stamp_ns <= int(track.stamps_ns[-1]):
            continue
        pose = track.at(scan.stamp_ns)
        if out:
            last = out[-1][0]
            if pose.distance_to(last) < config.min_step_m and abs(wrap_angle(pose.yaw - last.yaw)) < config.min_turn_rad:
                continue
        out.append((pose, scan))
    return out


def _valid(scan: LaserScan, config: OccupancyConfig) -> tuple[FloatArray, BoolArray]:
    """Ranges (N,) cut to the reach (0 where unusable), and which of them hit something."""
    reach = min(config.max_range_m, scan.range_max_m)
    ranges = np.asarray(scan.ranges, dtype=np.float64)
    usable = ~np.isnan(ranges) & (ranges >= scan.range_min_m)
    hit = usable & (ranges < reach)
    # A miss may be a black or mirroring surface: it frees only half of the reach.
    return np.where(hit, ranges, np.where(usable, 0.5 * reach, 0.0)), hit


def _endpoints(map_from_sensor: Pose2, scan: LaserScan, config: OccupancyConfig) -> FloatArray:
    ranges, _ = _valid(scan, config)
    angles = scan.angles().astype(np.float64)
    return map_from_sensor.apply(np.stack([ranges * np.cos(angles), ranges * np.sin(angles)], axis=1))


def empty_grid(seen: Sequence[FloatArray], driven: FloatArray, config: OccupancyConfig) -> Occupancy:
    """An unknown grid around everything that was seen or driven, each (N, 2)."""
    places = [points for points in (*seen, driven) if len(points)]
    low = np.min([points.min(axis=0) for points in places], axis=0) - config.margin_m
    high = np.max([points.max(axis=0) for points in places], axis=0) + config.margin_m
    origin = np.floor(low / config.resolution_m) * config.resolution_m
    width, height = (int(v) for v in np.ceil((high - origin) / config.resolution_m))
    require(width * height <= config.max_cells, "occupancy grid", f"{width}×{height} cells", f"at most {config.max_cells} cells")
    return Occupancy(np.zeros((height, width), dtype=np.float32), origin, config)


def clear_driven(grid: Occupancy, driven: FloatArray) -> None:
    """Where the robot's body was, nothing stands."""
    import cv2

    mask = np.zeros(grid.log_odds.shape, dtype=np.uint8)
    radius = max(int(grid.config.driven_radius_m / grid.config.resolution_m), 1)
    for row, column in np.unique(grid.cells(driven), axis=0).tolist():
        cv2.circle(mask, (column, row), radius, (1,), -1)
    grid.log_odds[mask > 0] = -grid.config.limit
