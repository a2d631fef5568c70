"""What is known about a generated world, on disk and in memory; for judging and for driving tours, never for the robot.

Beside `truth.yaml` lie `occupancy.png` (as in ROS maps: white is free, the first row is the largest y) and `instances.png`
(16 bits: the number of the instance that stands on a cell, 0 for none).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import yaml

from astra.core.config import load_yaml
from astra.core.errors import BadInputError
from astra.core.types import AnyArray, BoolArray, FloatArray, IntArray
from astra.geometry import Pose2
from astra.geometry.camera import CameraModel
from astra.geometry.se3 import Pose3
from astra.sim.meshes import CollisionShape
from astra.sim.worlds.language import Instruction, InstructionKind
from astra.sim.worlds.plan import KINDS, Box, Kind

FORMAT_VERSION = 2
RESOLUTION_M = 0.05
MAST_TOP_M = 1.0  # solids that begin above this do not stand in the robot's way
FLOOR_M = 0.02  # what is seen lower than this is the floor
SKIN_M = 0.03  # an instance reaches this far beyond its box: surfaces are seen on the box, not in it


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """A named place: `polygon` (K, 2) in world coordinates [m], convex and counter-clockwise; `signs` are the texts that name it.

    `functions`: several cues of what it is for; `is_goal`: whether anyone would be sent there.
    """

    name: str
    label: str
    category: str
    functions: tuple[str, ...]
    polygon: FloatArray
    signs: tuple[str, ...]
    is_goal: bool = True

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies inside the polygon."""
        a, b = self.polygon, np.roll(self.polygon, -1, axis=0)
        edge, to = b - a, np.array([x, y]) - a
        return bool((edge[:, 0] * to[:, 1] - edge[:, 1] * to[:, 0] >= 0).all())


@dataclass(frozen=True, slots=True)
class Instance:
    """A thing: a box at `centre`, `size` (depth, width, height), turned by `yaw_rad`; its front faces its +x axis [m, world frame]."""

    id: int
    category: str
    room: str
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw_rad: float
    colour: str


@dataclass(frozen=True, slots=True)
class Landmark:
    """Something by which a person would tell a place; `text` is "" unless it is a sign, `id` is its instance's."""

    id: int
    category: str
    text: str
    colour: str
    functions: tuple[str, ...]
    position: tuple[float, float, float]
    area: str


@dataclass(frozen=True, slots=True, eq=False)
class WorldTruth:
    """The truth of one world.

    `tour` (K, 2) [m]; `free` (Y, X): row y, column x, cell (0, 0) has its lower left corner at `origin_xy`.
    """

    areas: tuple[Area, ...]
    instructions: tuple[Instruction, ...]
    tour: FloatArray
    tour_start: Pose2
    free: BoolArray
    resolution_m: float
    origin_xy: tuple[float, float]
    kind: Kind = "office"
    seed: int = 0
    landmarks: tuple[Landmark, ...] = ()
    instances: tuple[Instance, ...] = ()

    def area(self, name: str) -> Area:
        """The area called `name`."""
        for area in self.areas:
            if area.name == name:
                return area
        raise BadInputError(f"no area {name!r} in this world; it has: {', '.join(a.name for a in self.areas)}")

    @property
    def goals(self) -> tuple[Area, ...]:
        """The areas that one may be sent to."""
        return tuple(area for area in self.areas if area.is_goal)


def free_space(solids: list[CollisionShape], outline: Box, low_m: float = 0.0, high_m: float = MAST_TOP_M) -> BoolArray:
    """Cells (Y, X) of the outline over whose centre no solid lies between two heights."""
    x0, y0, x1, y1 = outline
    nx, ny = round((x1 - x0) / RESOLUTION_M), round((y1 - y0) / RESOLUTION_M)
    free = np.ones((ny, nx), bool)
    for solid in solids:
        if solid.centre[2] - solid.size[-1] > high_m or solid.centre[2] + solid.size[-1] < low_m:
            continue
        size = (solid.size[0], solid.size[0]) if solid.kind == "cylinder" else (solid.size[0], solid.size[1])
        window, dx, dy = _local(solid.centre, size, solid.yaw_rad, outline, free.shape)
        inside = dx**2 + dy**2 <= size[0] ** 2 if solid.kind == "cylinder" else (np.abs(dx) <= size[0]) & (np.abs(dy) <= size[1])
        free[window] &= ~inside
    return free


def instance_grid(instances: tuple[Instance, ...], outline: Box, shape: tuple[int, int]) -> IntArray:
    """The instance (Y, X) that stands on each cell, 0 for none; the lowest one where things stand on each other."""
    grid = np.zeros(shape, np.int64)
    for thing in sorted(instances, key=lambda i: -(i.centre[2] - i.size[2] / 2)):
        half = (thing.size[0] / 2, thing.size[1] / 2)
        window, dx, dy = _local(thing.centre, half, thing.yaw_rad, outline, shape)
        grid[window][(np.abs(dx) <= half[0]) & (np.abs(dy) <= half[1])] = thing.id
    return grid


def instance_image(depth_m: AnyArray, camera: CameraModel, world_from_cam: Pose3, truth: WorldTruth) -> IntArray:
    """The instance seen by each pixel, by projecting it back into the instances' boxes.

    Args:
        depth_m: (H, W) distance along the optical axis [m]; not finite or ≤ 0 where nothing was measured.
        camera: its model; H and W are its.
        world_from_cam: its pose (optical frame).
        truth: the world's.

    Returns:
        (H, W) the instance's id, 0 for the building itself, -1 where nothing was measured.
    """
    depth = np.asarray(depth_m, dtype=np.float64)
    if depth.shape != (camera.height, camera.width):
        raise BadInputError(f"depth image is {depth.shape}, the camera's is ({camera.height}, {camera.width})")
    known = np.isfinite(depth) & (depth > 0)
    rows, columns = np.nonzero(known)
    rays = camera.unproject(np.stack([columns, rows], axis=1))
    points = world_from_cam.apply(np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * depth[known][:, None])
    out = np.full(depth.shape, -1, np.int64)
    out[known] = _instances_at(points, truth.instances)
    return out


def _instances_at(points: FloatArray, instances: tuple[Instance, ...]) -> IntArray:
    """The smallest instance that contains each of the points (N, 3), 0 for none."""
    ids = np.zeros(len(points), np.int64)
    above = np.nonzero(points[:, 2] > FLOOR_M)[0]
    for thing in sorted(instances, key=lambda i: -float(np.prod(i.size))):
        offset = points[above] - thing.centre
        reach = np.hypot(thing.size[0], thing.size[1]) / 2 + SKIN_M
        near = np.nonzero((np.abs(offset[:, 0]) < reach) & (np.abs(offset[:, 1]) < reach))[0]
        if len(near) == 0:
            continue
        c, s = np.cos(thing.yaw_rad), np.sin(thing.yaw_rad)
        dx, dy, dz = offset[near].T
        local = np.abs(np.stack([c * dx + s * dy, c * dy - s * dx, dz], axis=1))
        ids[above[near[(local <= np.array(thing.size) / 2 + SKIN_M).all(axis=1)]]] = thing.id
    return ids


def _local(
    centre: tuple[float, float, float], half: tuple[float, float], yaw_rad: float, outline: Box, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], FloatArray, FloatArray]:
    """A window of the grid around a turned rectangle, and its cells' centres in the rectangle's frame."""
    reach = float(np.hypot(*half)) + RESOLUTION_M
    spans = []
    for value, origin, count in ((centre[1], outline[1], shape[0]), (centre[0], outline[0], shape[1])):
        low, high = (int(np.floor((value + side * reach - origin) / RESOLUTION_M)) for side in (-1, 1))
        spans.append(slice(min(max(low, 0), count), min(max(high + 1, 0), count)))
    y = outline[1] + (np.arange(spans[0].start, spans[0].stop) + 0.5) * RESOLUTION_M - centre[1]
    x = outline[0] + (np.arange(spans[1].start, spans[1].stop) + 0.5) * RESOLUTION_M - centre[0]
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return (spans[0], spans[1]), c * x[None, :] + s * y[:, None], c * y[:, None] - s * x[None, :]


def save_truth(truth: WorldTruth, folder: Path, **record: Any) -> None:
    """Write the truth into a world's folder; `record` says how it was made."""
    import cv2

    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "kind": truth.kind,
        "seed": truth.seed,
        **record,
        "areas": [{**_plain(area), "polygon": np.round(area.polygon, 4).tolist()} for area in truth.areas],
        "landmarks": [_plain(landmark) for landmark in truth.landmarks],
        "instances": [_plain(instance) for instance in truth.instances],
        "instructions": [_plain(instruction) for instruction in truth.instructions],
        "tour": {"start": [truth.tour_start.x, truth.tour_start.y, truth.tour_start.yaw], "waypoints": np.round(truth.tour, 4).tolist()},
        "occupancy": {"image": "occupancy.png", "instances": "instances.png", "resolution_m": truth.resolution_m, "origin_xy": list(truth.origin_xy)},
    }
    text = yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, allow_unicode=True, default_flow_style=None, width=150)
    (folder / "truth.yaml").write_text(text, encoding="utf-8")
    cv2.imwrite(str(folder / "occupancy.png"), np.where(truth.free[::-1], 254, 0).astype(np.uint8))
    (x, y), (rows, columns) = truth.origin_xy, truth.free.shape
    outline = (x, y, x + columns * truth.resolution_m, y + rows * truth.resolution_m)
    cv2.imwrite(str(folder / "instances.png"), instance_grid(truth.instances, outline, truth.free.shape)[::-1].astype(np.uint16))


def load_truth(folder: Path) -> WorldTruth:
    """Read the truth of a world's folder.

    Raises:
        BadInputError: another format version, or damaged.
    """
    import cv2

    path = folder / "truth.yaml"
    document = load_yaml(path)
    try:
        if document["format_version"] != FORMAT_VERSION:
            raise BadInputError(f"{path}: format_version {document['format_version']} is not {FORMAT_VERSION}; generate the world again")
        if document["kind"] not in KINDS:
            raise BadInputError(f"{path}: kind {document['kind']!r} is none of {', '.join(KINDS)}")
        occupancy = document["occupancy"]
        image = cv2.imread(str(folder / occupancy["image"]), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise BadInputError(f"cannot read {folder / occupancy['image']}")
        free: BoolArray = np.ascontiguousarray(image[::-1] > 127)
        areas = tuple(Area(**{**_typed(a), "polygon": np.array(a["polygon"], dtype=np.float64).reshape(-1, 2)}) for a in document["areas"])
        return WorldTruth(
            areas=areas,
            instructions=tuple(_instruction(i, path) for i in document["instructions"]),
            tour=np.array(document["tour"]["waypoints"], dtype=np.float64).reshape(-1, 2),
            tour_start=Pose2(*(float(v) for v in document["tour"]["start"])),
            free=free,
            resolution_m=float(occupancy["resolution_m"]),
            origin_xy=(float(occupancy["origin_xy"][0]), float(occupancy["origin_xy"][1])),
            kind=document["kind"],
            seed=int(document["seed"]),
            landmarks=tuple(Landmark(**_typed(mark)) for mark in document["landmarks"]),
            instances=tuple(Instance(**_typed(thing)) for thing in document["instances"]),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInputError(f"{path}: {type(error).__name__} {error}") from error


def _instruction(entry: dict[str, Any], path: Path) -> Instruction:
    if entry["kind"] not in get_args(InstructionKind):
        raise BadInputError(f"{path}: an instruction's kind {entry['kind']!r} is none of {', '.join(get_args(InstructionKind))}")
    return Instruction(**_typed(entry))


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as YAML may hold it: lists for tuples, five decimals."""
    return {name: _rounded(entry) for name, entry in asdict(value).items()}


def _rounded(entry: Any) -> Any:
    if isinstance(entry, tuple):
        return [_rounded(v) for v in entry]
    return round(float(entry), 5) if isinstance(entry, float) else entry


def _typed(entry: dict[str, Any]) -> dict[str, Any]:
    """YAML's lists as tuples."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()}

