"""Worlds on disk: one of our own with its truth, or any MuJoCo scene without a robot."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.sim.worlds.language import Instruction
from astra.sim.worlds.truth import Area, WorldTruth, free_space, load_truth, save_truth

__all__ = ["Area", "Instruction", "World", "WorldTruth", "build_office", "load_world"]
RESOLUTION_M = 0.05
CATEGORY = {
    "lounge": "lounge", "room_201": "office", "room_202": "office", "kitchen": "kitchen", "meeting_203": "meeting_room", "copy_room": "copy_room",
    "storage": "storage", "exit": "exit",
}  # fmt: skip  # of the demo's rooms


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A scene to simulate; `truth` is None for scenes that we did not make."""

    name: str
    scene: Path
    truth: WorldTruth | None = None


def build_office(out: Path, seed: int) -> World:
    """The demo's office, planned by hand, with the colours and textures of one seed; `out` must not exist or be empty."""
    from astra.sim import office_plan as plan
    from astra.sim.office import OfficeBuilder

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInputError(f"{out} already exists and is not an empty folder")
    scene = OfficeBuilder(seed).build()
    free = free_space(scene.solids, (-plan.HALF_X, -plan.HALF_Y, plan.HALF_X, plan.HALF_Y))
    half = plan.WALL_M / 2
    areas = []
    for room in plan.ROOMS:
        x0, y0, x1, y1 = room.box[0] + half, room.box[1] + half, room.box[2] - half, room.box[3] - half
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        areas.append(Area(room.name, room.label, CATEGORY[room.name], (room.function,), corners, (room.label,)))
    instructions = [
        Instruction(text, (room.name,), "explicit" if any(c.isdigit() for c in text) else "implied") for room in plan.ROOMS for text in room.instructions
    ]
    instructions += [Instruction(text, (), "unanswerable") for text in plan.UNANSWERABLE]
    truth = WorldTruth(
        tuple(areas), tuple(instructions), np.array(plan.TOUR), Pose2(*plan.TOUR_START), free, RESOLUTION_M, (-plan.HALF_X, -plan.HALF_Y), seed=seed
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as draft:
        folder = Path(draft) / "world"
        folder.mkdir()
        scene.write(folder)
        save_truth(truth, folder)
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
    truth = load_truth(path) if (path / "truth.yaml").is_file() else None
    return World(path.resolve().name, path / "scene.xml", truth)
