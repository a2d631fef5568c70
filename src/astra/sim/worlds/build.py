"""From a kind and a seed to a world on disk: plan, checks, fit-out, truth; deterministic, whole or not at all."""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import AstraError, BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.sim.furniture import open_catalogue
from astra.sim.movers import Mover, movers_xml, plan_movers, save_movers
from astra.sim.textures import colour_name
from astra.sim.world import World
from astra.sim.worlds.checks import faults, scene_faults
from astra.sim.worlds.fitout import Board, Fitter, Furnisher
from astra.sim.worlds.home import plan_home
from astra.sim.worlds.language import Instruction, functions_of, instructions, places
from astra.sim.worlds.office import plan_office
from astra.sim.worlds.plan import KINDS, WALL_M, Catalogue, Kind, Plan, Room, split_from_seed
from astra.sim.worlds.style import STYLES, Style
from astra.sim.worlds.tour import Tour, plan_tour
from astra.sim.worlds.truth import RESOLUTION_M, Area, Instance, Landmark, WorldTruth, free_space, save_truth
from astra.sim.worlds.warehouse import plan_warehouse

ATTEMPTS = 8
MAX_SEED = 2**31 - 1
PLANNERS: dict[Kind, Callable[[int, Catalogue, float], Plan]] = {"home": plan_home, "office": plan_office, "warehouse": plan_warehouse}
TAGS = {kind: k for k, kind in enumerate(KINDS)}
BOARD_DEPTH_M = 0.04
TALL_M = 1.0  # what reaches higher may hide a sign


def generate(kind: Kind, seed: int, out: Path, *, clutter: float = 1.0, plain: bool = False) -> World:
    """Generate the world of a kind and seed into the folder `out`, which must not exist or be empty.

    A plan that fails a check is planned again from another seed, drawn from this one.

    Args:
        kind: home, office or warehouse.
        seed: below 10000 train, up to 19999 validate, from 20000 on test.
        out: the folder.
        clutter: 1 as usual; more fills rooms more densely.
        plain: use the plain furniture even where real meshes are installed.

    Raises:
        BadInputError: an unknown kind, a seed out of range, a folder that is not empty.
        AstraError: no plan of this seed passed the checks.
    """
    if kind not in KINDS:
        raise BadInputError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    if not 0 <= seed <= MAX_SEED:
        raise BadInputError(f"seed {seed} is not between 0 and {MAX_SEED}")
    require_empty(out)
    split = split_from_seed(seed)
    library = open_catalogue(split, plain=plain)
    problems: list[str] = []
    for attempt in range(ATTEMPTS):
        sub_seed = seed if attempt == 0 else _sub_seed(seed, attempt)
        draft = Draft(PLANNERS[kind](sub_seed, library, clutter), library, STYLES[kind], (seed, sub_seed, TAGS[kind]))
        problems = draft.problems()
        if problems:
            continue
        draft.fitter.paint()
        problems = scene_faults(draft.fitter.scene, draft.tour.waypoints)
        if problems:
            continue
        said = instructions(draft.plan, np.random.default_rng([seed, TAGS[kind], 11]), split)
        x0, y0 = draft.plan.outline[:2]
        movers = plan_movers(draft.plan, draft.free, (x0, y0), RESOLUTION_M, np.random.default_rng([seed, TAGS[kind], 13]))
        record = {"sub_seed": sub_seed, "split": split, "clutter": clutter, "furniture": {"set": library.name, "version": library.version}}
        return draft.write(out, seed, said, movers, library.attributions(piece.model for piece in draft.plan.pieces), record)
    raise AstraError(f"no {kind} of seed {seed} passed the checks in {ATTEMPTS} attempts; the last failed: {'; '.join(problems[:5])}")


def require_empty(out: Path) -> None:
    """Raise `BadInputError` unless `out` does not exist or is an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInputError(f"{out} already exists and is not an empty folder")


class Draft:
    """One attempt at a world: furnished on construction, so that it can be checked before it is painted.

    `tour`: as planned, unless one is given.
    """

    def __init__(self, plan: Plan, furnisher: Furnisher, style: Style, seed: tuple[int, ...], tour: Tour | None = None) -> None:
        self.plan = plan
        self.fitter = Fitter(plan, furnisher, style, seed)
        self.fitter.furnish()
        self.free: BoolArray = free_space(self.fitter.scene.solids, plan.outline)
        sight = free_space(self.fitter.scene.solids, plan.outline, TALL_M, plan.height_m)
        self.tour = tour or plan_tour(plan, self.free, sight)

    def problems(self) -> list[str]:
        """What is wrong with it."""
        return [*faults(self.plan, self.free), *(f"the tour does not reach {name}" for name in self.tour.missed)]

    def write(
        self, out: Path, seed: int, said: tuple[Instruction, ...], movers: tuple[Mover, ...] = (), attribution: str = "", record: dict[str, Any] | None = None
    ) -> World:
        """Write the painted world with its truth, whole or not at all."""
        truth = self.truth(seed, said)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
            folder = Path(scratch) / "world"
            folder.mkdir()
            assets, bodies = movers_xml(movers, folder) if movers else ("", "")
            self.fitter.scene.write(folder, extra_assets=assets, extra_bodies=bodies)
            save_movers(movers, folder)
            save_truth(truth, folder, **(record or {}))
            if attribution:
                (folder / "ATTRIBUTION.txt").write_text(attribution, encoding="utf-8")
            if out.exists():
                out.rmdir()
            shutil.move(str(folder), str(out))
        return World(out.name, out / "scene.xml", truth)

    def truth(self, seed: int, said: tuple[Instruction, ...]) -> WorldTruth:
        """Everything that is known about it, with what people say there."""
        plan = self.plan
        instances, landmarks = self._things()
        return WorldTruth(
            areas=tuple(self._area(room) for room in plan.rooms), instructions=said, tour=self.tour.waypoints, tour_start=self.tour.start,
            free=self.free, resolution_m=RESOLUTION_M, origin_xy=(plan.outline[0], plan.outline[1]), kind=plan.kind, seed=seed,
            landmarks=landmarks, instances=instances,
        )  # fmt: skip

    def _area(self, room: Room) -> Area:
        half = WALL_M / 2
        x0, y0, x1, y1 = room.box[0] + half, room.box[1] + half, room.box[2] - half, room.box[3] - half
        polygon: FloatArray = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        signs = tuple(dict.fromkeys(sign.text for sign in self.plan.signs if sign.room == room.name))
        return Area(room.name, room.label, room.category, functions_of(self.plan.kind, room.category), polygon, signs, room.is_goal)

    def _things(self) -> tuple[tuple[Instance, ...], tuple[Landmark, ...]]:
        """Furniture, signs and posters as instances; signs and the furniture that tells what a room is for as landmarks."""
        plan, fitter = self.plan, self.fitter
        cues = {room.name: functions_of(plan.kind, room.category) for room in plan.rooms}
        telling = {thing for place in places(plan.kind).values() for thing in place.furniture}
        instances: list[Instance] = []
        landmarks: list[Landmark] = []
        for piece, colour in zip(plan.pieces, fitter.colours):
            number, size = len(instances) + 1, piece.model.size_m
            centre = (piece.x, piece.y, piece.z_m + size[2] / 2)
            thing = Instance(number, piece.model.category, piece.room, centre, size, math.radians(piece.degrees), colour_name(colour))
            instances.append(thing)
            if thing.category in telling:
                landmarks.append(Landmark(number, thing.category, "", thing.colour, cues[piece.room], centre, piece.room))
        for place, board in zip(plan.signs, fitter.boards):
            thing = _hanging(len(instances) + 1, "sign", place.room, board)
            instances.append(thing)
            landmarks.append(Landmark(thing.id, "sign", place.text, thing.colour, cues[place.room], thing.centre, place.room))
        for board in fitter.posters:
            room = next((r.name for r in plan.rooms if r.box[0] <= board.at[0] <= r.box[2] and r.box[1] <= board.at[1] <= r.box[3]), "")
            instances.append(_hanging(len(instances) + 1, "poster", room, board))
        return tuple(instances), tuple(landmarks)


def _hanging(number: int, category: str, room: str, board: Board) -> Instance:
    centre = (board.at[0] + board.facing[0] * BOARD_DEPTH_M / 2, board.at[1] + board.facing[1] * BOARD_DEPTH_M / 2, board.z_m)
    yaw = math.atan2(board.facing[1], board.facing[0])
    return Instance(number, category, room, centre, (BOARD_DEPTH_M, *board.size), yaw, colour_name(board.colour))


def _sub_seed(seed: int, attempt: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{attempt}".encode(), digest_size=4).digest(), "little") % MAX_SEED
