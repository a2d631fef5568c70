"""A map's landmarks against a generated world: which signs did the tour show, which does the map have, and where does it say they are?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.datasets.drive import Drive, MoverTracks
from astra.evaluation.world_signs import reads_as
from astra.geometry import CameraRig, Pose2, Pose3, Trajectory
from astra.sim import engine
from astra.sim.meshes import COLLISION_GROUP
from astra.sim.world import World
from astra.sim.worlds.truth import WorldTruth
from astra.topomap import Landmark, TopoMap

BOARD_LETTERS = 1.9  # a board is so many letters high (`sim.textures.sign`) …
MARGIN_LETTERS = 0.3  # … and letters begin and end so far from its sides
PERSON_M = 1.8  # height of the discs that stand for movers
BEFORE_M = 0.04  # a look that comes so close to a board has reached it


@dataclass(frozen=True, slots=True)
class ShownConfig:
    """When an image shows a sign so that a reader must be expected to read it."""

    min_letter_px: float = 12.0  # height of its capitals
    max_angle_rad: float = math.radians(60.0)  # between the board's normal and the look
    min_clear: float = 0.9  # of the text's surface is not hidden

    def __post_init__(self) -> None:
        require(self.min_letter_px > 0.0, "min_letter_px", self.min_letter_px, "> 0")
        require(0.0 < self.max_angle_rad < math.pi / 2, "max_angle_rad", self.max_angle_rad, "in (0, π/2)")
        require(0.0 < self.min_clear <= 1.0, "min_clear", self.min_clear, "in (0, 1]")


@dataclass(frozen=True, slots=True, eq=False)
class TrueSign:
    """A sign of the world: `centre`, `right` and `normal` (3,) [m, world], `width_m` of its text, `letter_m` of its capitals."""

    id: int
    text: str
    centre: FloatArray
    right: FloatArray
    normal: FloatArray
    width_m: float
    letter_m: float

    def points(self, across: int = 5, up: int = 3) -> FloatArray:
        """A lattice (across · up, 3) over the text, its corners included."""
        u, v = np.meshgrid(np.linspace(-0.5, 0.5, across), np.linspace(-0.5, 0.5, up))
        lift = np.array([0.0, 0.0, self.letter_m])
        return np.asarray(self.centre + u.reshape(-1, 1) * self.width_m * self.right + v.reshape(-1, 1) * lift)


class Sight(Protocol):
    """Says what of the world is hidden."""

    def clear(self, stamp_ns: int, eye: FloatArray, points: FloatArray) -> float:
        """The share of the points (N, 3) [m, world] that are seen from `eye` (3,) at a moment."""
        ...


class WorldSight:
    """Looks through a world as it is drawn; people and carts stand where the drive's truth says."""

    def __init__(self, world: World, movers: MoverTracks | None = None) -> None:
        mujoco = engine.mujoco()
        self._model = mujoco.MjModel.from_xml_path(str(world.scene))
        self._data = mujoco.MjData(self._model)
        mujoco.mj_forward(self._model, self._data)
        self._groups = np.ones(6, np.uint8)
        self._groups[COLLISION_GROUP] = 0  # what is drawn hides, not the simpler shapes that stop a robot
        self._movers = movers

    def clear(self, stamp_ns: int, eye: FloatArray, points: FloatArray) -> float:
        """The share of the points (N, 3) that neither the building nor a mover hides from `eye`."""
        discs = np.zeros((0, 3)) if self._movers is None else self._movers.at(np.array([stamp_ns]))[0]
        seen = [not _is_behind_disc(eye, point, discs) and self._reaches(eye, point) for point in points]
        return float(np.mean(seen))

    def _reaches(self, eye: FloatArray, point: FloatArray) -> bool:
        length = float(np.linalg.norm(point - eye))
        hit = np.full(1, -1, np.int32)
        direction = (point - eye) / max(length, 1e-9)
        reach = engine.mujoco().mj_ray(self._model, self._data, eye, direction, self._groups, 1, -1, hit)
        return bool(reach < 0.0 or reach > length - BEFORE_M)


@dataclass(frozen=True, slots=True)
class LandmarkScore:
    """A map's text landmarks judged.

    shown: signs that the tour shows well. found: of those, the ones that the map has. landmarks: of text in the map. right: of those, how many
    name a sign within the bound, each sign once. errors_m: distances of the right ones from their signs. missed, wrong: for people.
    """

    shown: int
    found: int
    landmarks: int
    right: int
    errors_m: tuple[float, ...] = ()
    missed: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def recall(self) -> float:
        """Of the signs that were shown; NaN if none was."""
        return self.found / self.shown if self.shown else math.nan

    @property
    def precision(self) -> float:
        """Of the map's text landmarks; NaN without any."""
        return self.right / self.landmarks if self.landmarks else math.nan

    def within(self, bound_m: float = 0.3) -> float:
        """The share of right landmarks that lie within a bound of their sign; NaN without any."""
        return float(np.mean(np.array(self.errors_m) <= bound_m)) if self.errors_m else math.nan

    def __add__(self, other: LandmarkScore) -> LandmarkScore:
        """Two maps' scores, pooled."""
        return LandmarkScore(
            self.shown + other.shown, self.found + other.found, self.landmarks + other.landmarks, self.right + other.right,
            self.errors_m + other.errors_m, self.missed + other.missed, self.wrong + other.wrong,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """What counts as the same sign."""

    max_distance_m: float = 1.0
    shown: ShownConfig = field(default_factory=ShownConfig)

    def __post_init__(self) -> None:
        require(self.max_distance_m > 0.0, "max_distance_m", self.max_distance_m, "> 0")


def judge_drive(topo: TopoMap, world: World, drive: Drive, config: JudgeConfig | None = None) -> LandmarkScore:
    """Judge a map that was built from one drive through a generated world, by the signs that the map's keyframes show.

    Raises:
        BadInputError: a world or a drive without truth, or a map that was not built from this drive.
    """
    config = config or JudgeConfig()
    path = drive.truth()
    if world.truth is None or path is None:
        raise BadInputError(f"{drive.path}: landmarks are judged by the truth of world and drive, and it is not there")
    stamps = [node.stamp_ns for node in topo.nodes.values()]
    shown = shown_signs(world.truth, drive.rig, path, stamps, WorldSight(world, drive.movers()), config.shown)
    return judge_landmarks(topo, world.truth, path, shown, config)


def true_signs(truth: WorldTruth) -> tuple[TrueSign, ...]:
    """The world's signs as surfaces."""
    texts = {mark.id: mark.text for mark in truth.landmarks if mark.text}
    out = []
    for thing in truth.instances:
        if thing.id in texts:
            c, s = math.cos(thing.yaw_rad), math.sin(thing.yaw_rad)
            letter = thing.size[2] / BOARD_LETTERS
            width = max(thing.size[1] - 2.0 * MARGIN_LETTERS * letter, letter)
            # Whoever faces the board has its right side where the board's own left is.
            right, normal = np.array([-s, c, 0.0]), np.array([c, s, 0.0])
            out.append(TrueSign(thing.id, texts[thing.id], np.array(thing.centre), right, normal, width, letter))
    return tuple(out)


def shown_signs(
    truth: WorldTruth, rig: CameraRig, path: Trajectory, stamps_ns: Sequence[int], sight: Sight, config: ShownConfig | None = None
) -> dict[int, float]:
    """Sign id → height of its capitals [px] in the best image among those taken at `stamps_ns`; signs that no image shows are left out."""
    config = config or ShownConfig()
    bases = [(stamp, Pose3.from_pose2(path.at(stamp))) for stamp in stamps_ns]
    looks = [(stamp, camera.model, base @ camera.base_from_cam) for stamp, base in bases for camera in rig.cameras]
    out: dict[int, float] = {}
    for sign in true_signs(truth):
        options = []
        for k, (_, model, world_from_cam) in enumerate(looks):
            height = _letter_px(sign, world_from_cam, model.fy, config)
            if height >= config.min_letter_px and bool(model.project(world_from_cam.inverse().apply(sign.points()))[1].all()):
                options.append((height, k))
        for height, k in sorted(options, reverse=True):
            stamp, _, world_from_cam = looks[k]
            if sight.clear(stamp, world_from_cam.translation, sign.points()) >= config.min_clear:
                out[sign.id] = height
                break
    return out


def judge_landmarks(
    topo: TopoMap, truth: WorldTruth, path: Trajectory, shown: Mapping[int, float], config: JudgeConfig | None = None
) -> LandmarkScore:
    """Compare a map's text landmarks with the world's signs.

    Args:
        path: world_from_base over the tour, by which each fragment of the map is laid over the world.
        shown: the ids of the signs that must be found (`shown_signs`).

    Raises:
        BadInputError: no fragment of the map has enough nodes to be laid over the world.
    """
    config = config or JudgeConfig()
    signs, fits = true_signs(truth), _world_from_map(topo, path)
    marks = [m for m in topo.landmarks.values() if m.is_text]
    places = [_place(m, topo, fits) for m in marks]
    pairs = []
    for i, (mark, place) in enumerate(zip(marks, places)):
        for j, sign in enumerate(signs):
            distance = float(np.linalg.norm(place - sign.centre))
            if distance <= config.max_distance_m and reads_as(mark.label, sign.text):
                pairs.append((distance, i, j))
    taken: dict[int, int] = {}  # landmark → sign
    errors = []
    for distance, i, j in sorted(pairs):
        if i not in taken and j not in taken.values():
            taken[i] = j
            errors.append(distance)
    found = {signs[j].id for j in taken.values()}
    missed = tuple(f"{s.text!r} ({shown[s.id]:.0f} px)" for s in signs if s.id in shown and s.id not in found)
    doubles = {i for _, i, _ in pairs}
    wrong = tuple(
        f"{m.label!r} at {p[0]:.1f}, {p[1]:.1f}, {p[2]:.1f}: " + ("there already" if i in doubles else "no such sign")
        for i, (m, p) in enumerate(zip(marks, places))
        if i not in taken
    )
    return LandmarkScore(len(shown), len(found & set(shown)), len(marks), len(taken), tuple(errors), missed, wrong)


def _letter_px(sign: TrueSign, world_from_cam: Pose3, focal_px: float, config: ShownConfig) -> float:
    """Height of the sign's capitals in an image [px], 0 where it is seen from behind, too obliquely, or lies behind the camera."""
    offset = world_from_cam.translation - sign.centre
    ahead = float((sign.centre - world_from_cam.translation) @ world_from_cam.rotation[:, 2])
    if ahead <= 0.05 or float(sign.normal @ offset) < math.cos(config.max_angle_rad) * float(np.linalg.norm(offset)):
        return 0.0
    return focal_px * sign.letter_m / ahead


def _is_behind_disc(eye: FloatArray, point: FloatArray, discs: FloatArray) -> bool:
    """Whether a mover, a disc (x, y, radius) on the floor as high as a person, stands between eye and point."""
    if not len(discs) or min(eye[2], point[2]) > PERSON_M:
        return False
    way = (point - eye)[:2]
    part = np.clip((discs[:, :2] - eye[:2]) @ way / max(float(way @ way), 1e-9), 0.0, 1.0)
    nearest = eye[:2] + part[:, None] * way
    return bool((np.linalg.norm(nearest - discs[:, :2], axis=1) < discs[:, 2]).any())


def _world_from_map(topo: TopoMap, path: Trajectory) -> dict[int, Pose2]:
    """Fragment → the planar motion that lays its nodes over the true path best; no scale, heights are the map's own."""
    fits = {}
    for fragment in sorted({node.fragment for node in topo.nodes.values()}):
        nodes = [node for node in topo.nodes.values() if node.fragment == fragment]
        if len(nodes) < 3:
            continue
        source = np.array([node.map_from_base.translation[:2] for node in nodes])
        poses = [path.at(node.stamp_ns) for node in nodes]
        target = np.array([(pose.x, pose.y) for pose in poses])
        a, b = source - source.mean(axis=0), target - target.mean(axis=0)
        yaw = math.atan2(float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()), float((a * b).sum()))
        turn = Pose2(0.0, 0.0, yaw)
        x, y = target.mean(axis=0) - turn.apply(source.mean(axis=0)[None])[0]
        fits[fragment] = Pose2(float(x), float(y), yaw)
    if not fits:
        raise BadInputError("the map has no three nodes that belong together, so it cannot be compared with a world")
    return fits


def _place(mark: Landmark, topo: TopoMap, fits: Mapping[int, Pose2]) -> FloatArray:
    """The landmark in the world (3,) [m], by the fragment of the nodes that see it."""
    fragments = [topo.nodes[k].fragment for k in mark.node_ids if topo.nodes[k].fragment in fits]
    fit = fits[max(set(fragments), key=fragments.count)] if fragments else fits[min(fits)]
    x, y = fit.apply(mark.position_map[None, :2])[0]
    return np.array([x, y, mark.position_map[2]])
