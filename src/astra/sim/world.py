"""Worlds on disk: a generated office with its truth, or any MuJoCo scene without a robot."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from astra.core.config import load_yaml
from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.geometry import Pose2
from astra.sim.meshes import CollisionShape

FORMAT_VERSION = 1
RESOLUTION_M = 0.05
MAST_TOP_M = 1.0  # solids that begin above this do not stand in the robot's way


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """A named place: `polygon` (K, 2) in world coordinates [m]; `signs` are the texts that name it."""

    name: str
    label: str
    function: str
    polygon: FloatArray
    signs: tuple[str, ...]

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies inside the (convex, counter-clockwise) polygon."""
        a, b = self.polygon, np.roll(self.polygon, -1, axis=0)
        edge, to = b - a, np.array([x, y]) - a
        return bool((edge[:, 0] * to[:, 1] - edge[:, 1] * to[:, 0] >= 0).all())


@dataclass(frozen=True, slots=True)
class Instruction:
    """Something a person says and the areas that satisfy it; none if nothing in this world does."""

    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class WorldTruth:
    """What is known about a generated world; for judging and for driving the tour, never for the robot.

    `tour` (K, 2) [m]; `free` (Y, X): row y, column x, cell (0, 0) has its lower left corner at `origin_xy`.
    """

    areas: tuple[Area, ...]
    instructions: tuple[Instruction, ...]
    tour: FloatArray
    tour_start: Pose2
    free: BoolArray
    resolution_m: float
    origin_xy: tuple[float, float]
    kind: str = "office"
    seed: int = 0

    def area(self, name: str) -> Area:
        """The area called `name`."""
        for area in self.areas:
            if area.name == name:
                return area
        raise BadInputError(f"no area {name!r} in this world; it has: {', '.join(a.name for a in self.areas)}")


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A scene to simulate; `truth` is None for scenes that we did not make."""

    name: str
    scene: Path
    truth: WorldTruth | None = None


def build_office(out: Path, seed: int) -> World:
    """Generate the office of one seed into the folder `out`, which must not exist or be empty."""
    from astra.sim import office_plan as plan
    from astra.sim.office import OfficeBuilder

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInputError(f"{out} already exists and is not an empty folder")
    scene = OfficeBuilder(seed).build()
    free = _free_space(scene.solids, plan.HALF_X, plan.HALF_Y)
    half = plan.WALL_M / 2
    areas = []
    for room in plan.ROOMS:
        x0, y0, x1, y1 = room.box[0] + half, room.box[1] + half, room.box[2] - half, room.box[3] - half
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        areas.append(Area(room.name, room.label, room.function, corners, (room.label,)))
    instructions = [Instruction(text, (room.name,)) for room in plan.ROOMS for text in room.instructions]
    instructions += [Instruction(text, ()) for text in plan.UNANSWERABLE]
    truth = WorldTruth(
        tuple(areas), tuple(instructions), np.array(plan.TOUR), Pose2(*plan.TOUR_START), free, RESOLUTION_M, (-plan.HALF_X, -plan.HALF_Y)
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as draft:
        folder = Path(draft) / "world"
        folder.mkdir()
        scene.write(folder)
        _save_truth(truth, folder, seed)
        if out.exists():
            out.rmdir()
        shutil.move(str(folder), str(out))
    return World(out.name, out / "scene.xml", truth)


def load_world(path: Path) -> World:
    """Open a generated world folder, a folder with scene.xml, or any MuJoCo XML without a robot.

    Raises:
        BadInputError: nothing there that could be a world.
    """
    if path.is_file() and path.suffix == ".xml":
        return World(path.stem, path)
    if not (path / "scene.xml").is_file():
        raise BadInputError(f"{path} is no world: neither a MuJoCo .xml file nor a folder with scene.xml")
    truth = _load_truth(path) if (path / "truth.yaml").is_file() else None
    return World(path.resolve().name, path / "scene.xml", truth)


def _free_space(solids: list[CollisionShape], half_x: float, half_y: float) -> BoolArray:
    """Cells of the building whose centre lies in no solid."""
    nx, ny = round(2 * half_x / RESOLUTION_M), round(2 * half_y / RESOLUTION_M)
    x = -half_x + (np.arange(nx) + 0.5) * RESOLUTION_M
    y = -half_y + (np.arange(ny) + 0.5) * RESOLUTION_M
    xx, yy = np.meshgrid(x, y)
    free = np.ones((ny, nx), bool)
    for solid in solids:
        if solid.centre[2] - solid.size[-1] > MAST_TOP_M:
            continue
        dx, dy = xx - solid.centre[0], yy - solid.centre[1]
        if solid.kind == "cylinder":
            free &= dx**2 + dy**2 > solid.size[0] ** 2
        else:
            c, s = np.cos(solid.yaw_rad), np.sin(solid.yaw_rad)
            free &= (np.abs(c * dx + s * dy) > solid.size[0]) | (np.abs(c * dy - s * dx) > solid.size[1])
    return free


def _save_truth(truth: WorldTruth, folder: Path, seed: int) -> None:
    import cv2

    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "seed": seed,
        "areas": [
            {"name": a.name, "label": a.label, "function": a.function, "polygon": a.polygon.tolist(), "signs": list(a.signs)} for a in truth.areas
        ],
        "instructions": [{"text": i.text, "answers": list(i.answers)} for i in truth.instructions],
        "tour": {"start": [truth.tour_start.x, truth.tour_start.y, truth.tour_start.yaw], "waypoints": truth.tour.tolist()},
        "occupancy": {"image": "occupancy.png", "resolution_m": truth.resolution_m, "origin_xy": list(truth.origin_xy)},
    }
    (folder / "truth.yaml").write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    # As in ROS maps: white is free, black is occupied, the first row is the largest y.
    cv2.imwrite(str(folder / "occupancy.png"), np.where(truth.free[::-1], 254, 0).astype(np.uint8))


def _load_truth(folder: Path) -> WorldTruth:
    import cv2

    path = folder / "truth.yaml"
    document = load_yaml(path)
    try:
        if document["format_version"] != FORMAT_VERSION:
            raise BadInputError(f"{path}: format_version {document['format_version']} is not {FORMAT_VERSION}")
        occupancy = document["occupancy"]
        image = cv2.imread(str(folder / occupancy["image"]), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise BadInputError(f"cannot read {folder / occupancy['image']}")
        areas = tuple(
            Area(a["name"], a["label"], a["function"], np.array(a["polygon"], dtype=np.float64).reshape(-1, 2), tuple(a["signs"]))
            for a in document["areas"]
        )
        instructions = tuple(Instruction(i["text"], tuple(i["answers"])) for i in document["instructions"])
        tour = np.array(document["tour"]["waypoints"], dtype=np.float64).reshape(-1, 2)
        start = Pose2(*(float(v) for v in document["tour"]["start"]))
        origin = (float(occupancy["origin_xy"][0]), float(occupancy["origin_xy"][1]))
        free: BoolArray = np.ascontiguousarray(image[::-1] > 127)
        return WorldTruth(areas, instructions, tour, start, free, float(occupancy["resolution_m"]), origin, seed=int(document["seed"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInputError(f"{path}: {type(error).__name__} {error}") from error
