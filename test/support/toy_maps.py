"""Maps of a made-up building: points with descriptors of their own on the walls of rooms, seen by a robot with two cameras. No image is rendered.

Rooms with the same `look` carry the same points, so that a building can have twins.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3, Similarity
from astra.mapping.occupancy import Occupancy, OccupancyConfig, write_nav2_map
from astra.topomap import Edge, Landmark, MapInfo, Node, TopoMap, View
from astra.topomap.features import MapFeatures
from astra.topomap.io import save_map

CAMERA = CameraModel.from_fov(320, 240, np.pi / 2)
MOUNTS = {
    "front": Pose3.from_rpy(0, 0, 0, [0.1, 0, 0.8]) @ BODY_FROM_OPTICAL,
    "left": Pose3.from_rpy(0, 0, np.pi / 2, [0, 0.1, 0.8]) @ BODY_FROM_OPTICAL,
}
SIZE = np.array([4.0, 4.0, 2.5])  # of a room; rooms stand side by side along x
POINTS = 260  # a room


@dataclass(frozen=True)
class Building:
    """`looks` gives each room its look; doors are ignored: a camera sees the walls of its own room only. Scans see the `cupboards`, if there are any."""

    looks: tuple[int, ...]
    cupboards: bool = True

    def room(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (P, 3) [m] and unit descriptors (P, 128) of a room."""
        rng = np.random.default_rng(self.looks[number])
        points = rng.uniform(0, 1, (POINTS, 3)) * SIZE
        wall = rng.integers(0, 4, POINTS)
        points[np.arange(POINTS), wall // 2] = (wall % 2) * SIZE[wall // 2]
        descriptors = rng.uniform(0, 1, (POINTS, 128)) ** 3
        return points + [number * SIZE[0], 0, 0], descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)


def tour(first, last, y=1.2, back=2.6, step=0.4):
    """Along the rooms first … last at y and back at another y, in the building's frame."""
    out = [Pose2(x, y, 0.0) for x in np.arange(first * SIZE[0] + 0.6, (last + 1) * SIZE[0] - 0.6, step)]
    return out + [Pose2(p.x, back, np.pi) for p in reversed(out)]


def write_map(folder: Path, building, poses, map_from_building=None, seed=0, scale_source="odometry", bend=0.0, marks=(), grid=True) -> Path:
    """A map folder of the tour; its frame is `map_from_building` (default: the first pose's).

    Args:
        bend: metres of drift a node.
        marks: (label, position (3,) in the building).
    """
    rng = np.random.default_rng(seed)
    frame = map_from_building or Similarity.between_poses(Pose3(), Pose3.from_pose2(poses[0]))
    nodes, columns = {}, []
    for k, pose in enumerate(poses):
        room = int(np.clip(pose.x // SIZE[0], 0, len(building.looks) - 1))
        points, descriptors = building.room(room)
        drift = np.array([0.0, bend * k, 0.0])
        views = []
        for name, base_from_cam in MOUNTS.items():
            cam = Pose3.from_pose2(pose) @ base_from_cam
            pixels, seen = CAMERA.project(cam.inverse().apply(points))
            ids, noisy = np.flatnonzero(seen), descriptors[seen] + rng.normal(0, 0.02, (int(seen.sum()), 128))
            unit = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
            known = frame.apply(points[ids] + drift) + rng.normal(0, 0.004 * frame.scale, (len(ids), 3))
            columns.append((pixels[ids] + rng.normal(0, 0.3, (len(ids), 2)), np.clip(512 * unit, 0, 255), known, POINTS * room + ids))
            moved = Pose3(cam.rotation, cam.translation + drift)
            views.append(View(2 * k + len(views), name, f"images/{name}-{k:03d}.jpg", frame.carry(moved)))
        base = Pose3.from_pose2(pose)
        nodes[k] = Node(k, (k + 1) * 10**9, frame.carry(Pose3(base.rotation, base.translation + drift)), tuple(views), (), 0, 0.01)
    landmarks = {i: _mark(i, label, frame, np.array(at), nodes) for i, (label, at) in enumerate(marks)}
    edges = tuple(Edge(k, k + 1, _gap(nodes[k], nodes[k + 1])) for k in range(len(poses) - 1))
    topo = TopoMap(MapInfo(folder.name, scale_source, 0.005), dict.fromkeys(MOUNTS, CAMERA), nodes, edges, landmarks)
    blank = folder.parent / f"{folder.name}.jpg"
    blank.write_bytes(folder.name.encode())
    extras = _nav2(folder, building, poses, frame) if grid and scale_source != "unknown" else {}
    save_map(topo, _features(columns, building), {v.image: blank for n in nodes.values() for v in n.views}, folder, extras)
    return folder


def _features(columns, building) -> MapFeatures:
    counts = [len(c[0]) for c in columns]
    descriptors = [c[1].astype(np.uint8) for c in columns]
    place = np.array([d.sum(axis=0) for d in descriptors], dtype=np.float32)
    place /= np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-6)
    place -= 0.98 * place.mean(axis=0)
    place /= np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-6)
    return MapFeatures(
        np.arange(len(columns), dtype=np.int64),
        np.cumsum([0, *counts]).astype(np.int64),
        np.concatenate([c[0] for c in columns]).astype(np.float32),
        np.concatenate(descriptors),
        np.concatenate([c[2] for c in columns]).astype(np.float32),
        np.concatenate([c[3] for c in columns]).astype(np.int64),
        place,
    )


def _mark(i, label, frame, at, nodes) -> Landmark:
    position = frame.apply(at)
    near = sorted(nodes, key=lambda k: float(np.linalg.norm(nodes[k].map_from_base.translation - position)))[:3]
    return Landmark(i, label, True, "", "", position, 0.02, tuple(sorted(near)), tuple(sorted(nodes[k].views[0].id for k in near)))


def _nav2(folder, building, poses, frame) -> dict[str, Path]:
    """The rooms that the tour saw: their walls with wide doors, and free space."""
    step = 0.05
    rooms = sorted({int(p.x // SIZE[0]) for p in poses})
    corners = frame.apply(np.array([[x, y, 0.0] for x in (rooms[0] * SIZE[0], (rooms[-1] + 1) * SIZE[0]) for y in (0.0, SIZE[1])]))[:, :2]
    origin = corners.min(axis=0) - 0.5
    width, height = np.ceil((corners.max(axis=0) + 0.5 - origin) / step).astype(int)
    rows, columns = np.indices((height, width))
    centres = origin + (np.stack([columns, rows], axis=-1) + 0.5) * step
    old = frame.inverse().apply(np.concatenate([centres, np.zeros((height, width, 1))], axis=-1))[..., :2]
    x, y = old[..., 0], old[..., 1]
    inside = (x > rooms[0] * SIZE[0]) & (x < (rooms[-1] + 1) * SIZE[0]) & (y > 0) & (y < SIZE[1])
    door = (y > 0.8) & (y < 3.2)
    partitions = [np.where(door, 1.0, np.abs(x - k * SIZE[0])) for k in range(rooms[0], rooms[-1] + 2)]
    to_wall = np.min([np.abs(y), np.abs(y - SIZE[1]), *partitions], axis=0)
    wall = (to_wall < 0.05) & (x > rooms[0] * SIZE[0] - 0.05) & (x < (rooms[-1] + 1) * SIZE[0] + 0.05) & (y > -0.05) & (y < SIZE[1] + 0.05)
    for k in rooms if building.cupboards else ():  # cupboards in each room, where and as wide as its look has them
        for middle, half, side in np.random.default_rng(building.looks[k]).uniform([0.8, 0.2, 0.0], [3.2, 0.6, 1.0], (3, 3)):
            wall |= (np.abs(x - k * SIZE[0] - middle) < half) & (np.abs(y - (0.35 if side < 0.5 else 3.65)) < 0.25)
    log_odds = np.where(wall, 3.0, np.where(inside, -3.0, 0.0)).astype(np.float32)
    target = folder.parent / f"{folder.name}-nav2"
    write_nav2_map(Occupancy(log_odds, origin, OccupancyConfig(resolution_m=step)), target)
    return {"nav2": target}


def _gap(a, b) -> float:
    return float(np.linalg.norm(a.map_from_base.translation - b.map_from_base.translation))
