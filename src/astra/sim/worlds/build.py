"""From a kind and a seed to a world on disk: plan, fit-out, truth, checks; deterministic, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from astra.core.errors import AstraError, BadInputError
from astra.core.types import FloatArray
from astra.sim.furniture import Library, open_catalogue
from astra.sim.movers import movers_xml, plan_movers, save_movers
from astra.sim.textures import Colour
from astra.sim.world import World
from astra.sim.worlds.checks import faults
from astra.sim.worlds.fitout import Fitter
from astra.sim.worlds.home import plan_home
from astra.sim.worlds.language import functions_of, instructions
from astra.sim.worlds.office import plan_office
from astra.sim.worlds.plan import KINDS, WALL_M, Catalogue, Kind, Plan, split_from_seed
from astra.sim.worlds.tour import plan_tour
from astra.sim.worlds.truth import Area, Instance, Landmark, WorldTruth, free_space, save_truth
from astra.sim.worlds.warehouse import plan_warehouse

ATTEMPTS = 8
MAX_SEED = 2**31 - 1
PLANNERS: dict[Kind, Callable[[int, Catalogue, float], Plan]] = {"home": plan_home, "office": plan_office, "warehouse": plan_warehouse}
TAGS = {kind: k for k, kind in enumerate(KINDS)}
SIGN_DEPTH_M = 0.04


def generate(kind: Kind, seed: int, out: Path, *, clutter: float = 1.0, plain: bool = False) -> World:
    """Generate the world of a kind and seed into the folder `out`, which must not exist or be empty.

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
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInputError(f"{out} already exists and is not an empty folder")
    library = open_catalogue(split_from_seed(seed), plain=plain)
    problems: list[str] = []
    for attempt in range(ATTEMPTS):
        sub_seed = seed if attempt == 0 else _sub_seed(seed, attempt)
        plan = PLANNERS[kind](sub_seed, library, clutter)
        draft = _Draft(kind, seed, plan, library)
        problems = draft.problems()
        if not problems:
            return draft.write(out, sub_seed, clutter)
    raise AstraError(f"no {kind} of seed {seed} passed the checks in {ATTEMPTS} attempts; the last failed: {'; '.join(problems[:5])}")


def _sub_seed(seed: int, attempt: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{attempt}".encode(), digest_size=4).digest(), "little") % MAX_SEED


class _Draft:
    """One attempt at a world."""

    def __init__(self, kind: Kind, seed: int, plan: Plan, library: Library) -> None:
        self._kind, self._seed, self._plan, self._library = kind, seed, plan, library
        self._rng = np.random.default_rng([seed, plan.seed, TAGS[kind], 7])
        self._fitter = Fitter(plan, library, self._rng)
        self._scene = self._fitter.build()
        self._free = free_space(self._scene.solids, plan.outline)
        self._tour = plan_tour(plan, self._free)

    def problems(self) -> list[str]:
        """What is wrong with it."""
        return [*faults(self._plan, self._free), *(f"the tour does not reach {name}" for name in self._tour.missed)]

    def write(self, out: Path, sub_seed: int, clutter: float) -> World:
        """Write it, whole or not at all."""
        plan, truth = self._plan, self._truth()
        movers = plan_movers(plan, self._free, (plan.outline[0], plan.outline[1]), truth.resolution_m, self._rng)
        models = [piece.model for piece in plan.pieces]
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
            folder = Path(scratch) / "world"
            folder.mkdir()
            assets, bodies = movers_xml(movers, folder)
            self._scene.write(folder, extra_assets=assets, extra_bodies=bodies)
            save_movers(movers, folder)
            furniture = {"set": self._library.name, "version": self._library.version}
            save_truth(truth, folder, sub_seed=sub_seed, split=split_from_seed(self._seed), clutter=clutter, furniture=furniture)
            if text := self._library.attributions(models):
                (folder / "ATTRIBUTION.txt").write_text(text, encoding="utf-8")
            if out.exists():
                out.rmdir()
            shutil.move(str(folder), str(out))
        return World(out.name, out / "scene.xml", truth)

    def _truth(self) -> WorldTruth:
        plan = self._plan
        instances, landmarks = self._things()
        split = split_from_seed(self._seed)
        said = instructions(plan, np.random.default_rng([self._seed, TAGS[self._kind], 11]), split)
        return WorldTruth(
            areas=tuple(self._area(name) for name in range(len(plan.rooms))), instructions=said, tour=self._tour.waypoints, tour_start=self._tour.start,
            free=self._free, resolution_m=0.05, origin_xy=(plan.outline[0], plan.outline[1]), kind=self._kind, seed=self._seed,
            landmarks=landmarks, instances=instances,
        )  # fmt: skip

    def _area(self, index: int) -> Area:
        room = self._plan.rooms[index]
        half = WALL_M / 2
        x0, y0, x1, y1 = room.box[0] + half, room.box[1] + half, room.box[2] - half, room.box[3] - half
        polygon: FloatArray = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        signs = tuple(dict.fromkeys(sign.text for sign in self._plan.signs if sign.room == room.name))
        return Area(room.name, room.label, room.category, functions_of(self._kind, room.category), polygon, signs, room.is_goal)

    def _things(self) -> tuple[tuple[Instance, ...], tuple[Landmark, ...]]:
        """Furniture and signs as instances; those that tell a place as landmarks."""
        from astra.sim.worlds.language import places

        category_of = {room.name: room.category for room in self._plan.rooms}
        telling = {thing for place in places(self._kind).values() for thing in place.furniture}
        instances, landmarks = [], []
        for piece, colour in zip(self._plan.pieces, self._fitter.colours):
            number, (depth, width, height) = len(instances) + 1, piece.model.size_m
            centre = (piece.x, piece.y, piece.z_m + height / 2)
            yaw = float(np.radians(piece.degrees))
            instances.append(Instance(number, piece.model.category, piece.room, centre, (depth, width, height), yaw, colour_name(colour)))
            if piece.model.category in telling:
                cues = functions_of(self._kind, category_of[piece.room])
                landmarks.append(Landmark(number, piece.model.category, "", colour_name(colour), cues, centre, piece.room))
        for sign, colour in zip(self._plan.signs, self._fitter.boards):
            number = len(instances) + 1
            width = 0.62 * sign.letter_m * len(sign.text) + sign.letter_m
            yaw = float(np.arctan2(sign.facing[1], sign.facing[0]))
            at = (sign.at[0] + sign.facing[0] * 0.02, sign.at[1] + sign.facing[1] * 0.02, sign.z_m)
            instances.append(Instance(number, "sign", sign.room, at, (SIGN_DEPTH_M, width, 1.9 * sign.letter_m), yaw, colour_name(colour)))
            cues = functions_of(self._kind, category_of[sign.room])
            landmarks.append(Landmark(number, "sign", sign.text, colour_name(colour), cues, at, sign.room))
        return tuple(instances), tuple(landmarks)


def colour_name(colour: Colour) -> str:
    """The everyday name of a colour, RGB of 0..255."""
    import colorsys

    red, green, blue = (v / 255.0 for v in colour)
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    if lightness > 0.85:
        return "white"
    if lightness < 0.16:
        return "black"
    if saturation < 0.14:
        return "grey"
    degrees = hue * 360.0
    if 10.0 <= degrees < 50.0 and (lightness < 0.45 or saturation < 0.5):
        return "brown"
    names = ((15.0, "red"), (45.0, "orange"), (70.0, "yellow"), (165.0, "green"), (200.0, "turquoise"), (255.0, "blue"), (290.0, "purple"), (340.0, "pink"))
    return next((name for limit, name in names if degrees < limit), "red")
