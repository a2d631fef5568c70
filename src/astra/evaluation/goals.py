"""Does a sentence lead to the right place? Judged on maps of generated worlds, or on the landmarks such a map should have.

With `true_map` the landmarks are the world's own: what is then wrong is the understanding of language alone, and a world costs a second
instead of a tour and a map. A map that was built is judged the same way, once it lies in the world's frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.errors import AstraError
from astra.geometry import CameraModel, Pose2, Pose3
from astra.global_model.coarse import text_similarity
from astra.global_model.goal import GoalFinder
from astra.global_model.loaded import LoadedMap
from astra.global_model.types import FindResult, GoalStatus
from astra.perception.text import normalise_text
from astra.sim.furniture import open_catalogue
from astra.sim.worlds.build import PLANNERS, Draft
from astra.sim.worlds.language import Instruction, InstructionKind, Voice, instructions
from astra.sim.worlds.plan import Kind, Plan, split_from_seed
from astra.sim.worlds.style import STYLES
from astra.sim.worlds.truth import Landmark, WorldTruth
from astra.topomap import Edge, MapInfo, Node, TopoMap
from astra.topomap import Landmark as MapLandmark
from astra.topomap.features import MapFeatures

SIGHT_M = 4.0  # from which nodes a landmark of a true map is seen


@dataclass(frozen=True, slots=True)
class GoalEpisode:
    """One sentence in one world, what was answered, and whether that is right."""

    world: str
    kind: InstructionKind
    text: str
    answers: tuple[str, ...]
    status: str
    area: str
    label: str
    right: bool


def imagined_world(kind: Kind, seed: int, voice: Voice | None = None) -> WorldTruth:
    """The truth of a generated world, furnished from the plain set and never painted; its sentences are the seed's split's, unless a `voice` is given."""
    split, last = split_from_seed(seed), ""
    library = open_catalogue(split, plain=True)
    for attempt in range(8):
        draft = Draft(PLANNERS[kind](seed + 100_003 * attempt, library, 1.0), library, STYLES[kind], (seed, attempt))
        problems = draft.problems()
        if not problems:
            truth = draft.truth(seed, instructions(draft.plan, np.random.default_rng([seed, attempt]), voice or split))
            return replace(truth, landmarks=truth.landmarks + _signs(draft.plan, len(truth.instances)))
        last = problems[0]
    raise AstraError(f"no {kind} of seed {seed} passes its checks: {last}")


def _signs(plan: Plan, first_id: int) -> tuple[Landmark, ...]:
    """The planned signs; boards are hung while a world is painted."""
    return tuple(
        Landmark(first_id + k, "sign", sign.text, "", (), (sign.at[0] + 0.03 * sign.facing[0], sign.at[1] + 0.03 * sign.facing[1], sign.z_m), sign.room)
        for k, sign in enumerate(plan.signs, start=1)
    )


def true_map(world: WorldTruth, objects: bool = True) -> LoadedMap:
    """The map that a perfect tour and perfect eyes would give: signs with their texts and, if wanted, telling objects by category."""
    things = [m for m in world.landmarks if m.text or objects]
    stops = np.asarray(world.tour, dtype=np.float64)
    marks: dict[int, MapLandmark] = {}
    seen_at: dict[int, list[int]] = {k: [] for k in range(len(stops))}
    for thing in things:
        distance = np.linalg.norm(stops - np.asarray(thing.position[:2]), axis=1)
        nodes = [int(k) for k in np.flatnonzero(distance < SIGHT_M)] or [int(np.argmin(distance))]
        label = thing.text or thing.category.replace("_", " ")
        marks[thing.id] = MapLandmark(thing.id, label, bool(thing.text), thing.colour, "", np.asarray(thing.position), 0.05, tuple(nodes), ())
        for k in nodes:
            seen_at[k].append(thing.id)
    nodes_by_id = {k: Node(k, k, Pose3.from_pose2(Pose2(float(x), float(y), 0.0)), (), tuple(seen_at[k])) for k, (x, y) in enumerate(stops)}
    edges = tuple(Edge(k, k + 1, float(np.linalg.norm(stops[k + 1] - stops[k]))) for k in range(len(stops) - 1))
    empty = MapFeatures(
        np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8), np.zeros((0, 3), np.float32),
        np.zeros(0, np.int64), np.zeros((0, 960), np.float32),
    )  # fmt: skip
    return LoadedMap(TopoMap(MapInfo(f"{world.kind}{world.seed}", "given"), {"front": CameraModel.from_fov(160, 120, 1.5)}, nodes_by_id, edges, marks), empty)


def tiled(loaded: LoadedMap, least_nodes: int) -> LoadedMap:
    """A large map for timing: copies of one side by side, 100 m apart, until it has at least `least_nodes` nodes."""
    one, nodes, marks, edges = loaded.map, {}, {}, []
    step = max(one.nodes) + 1, max(one.landmarks, default=0) + 1
    for copy in range(-(-least_nodes // len(one.nodes))):
        moved, node_step, mark_step = np.array([100.0 * copy, 0.0, 0.0]), copy * step[0], copy * step[1]
        for node in one.nodes.values():
            pose = Pose3(node.map_from_base.rotation, node.map_from_base.translation + moved)
            seen = tuple(k + mark_step for k in node.landmark_ids)
            nodes[node.id + node_step] = replace(node, id=node.id + node_step, map_from_base=pose, landmark_ids=seen)
        for mark in one.landmarks.values():
            spot, ids = np.asarray(mark.position_map) + moved, tuple(k + node_step for k in mark.node_ids)
            marks[mark.id + mark_step] = replace(mark, id=mark.id + mark_step, position_map=spot, node_ids=ids)
        edges += [replace(edge, a=edge.a + node_step, b=edge.b + node_step) for edge in one.edges]
    return LoadedMap(TopoMap(one.info, one.cameras, nodes, tuple(edges), marks), loaded.features)


def judge(finder: GoalFinder, world: WorldTruth, said: Sequence[Instruction], world_from_map: Pose2 | None = None) -> list[GoalEpisode]:
    """Ask for every sentence. Right is: the best candidate's landmark or standing place in one of the answers; `ambiguous` for those that
    name several; not found for those that nothing answers."""
    frame = world_from_map or Pose2()
    episodes = []
    for instruction in said:
        found = finder.find_text(instruction.text)
        area = _area(found, finder, world, frame)
        label = found.candidates[0].label if found.candidates else ""
        if instruction.kind == "ambiguous":
            # Signs that say which one make the question unnecessary only if one place alone is meant.
            right = found.status is GoalStatus.AMBIGUOUS
        elif not instruction.answers:
            right = found.status is GoalStatus.NOT_FOUND
        else:
            right = found.status is not GoalStatus.NOT_FOUND and area in instruction.answers
        episodes.append(
            GoalEpisode(f"{world.kind}{world.seed}", instruction.kind, instruction.text, instruction.answers, found.status.value, area, label, right)
        )
    return episodes


def shares(episodes: Iterable[GoalEpisode]) -> dict[str, tuple[int, int]]:
    """(right, asked) by kind of instruction."""
    out: dict[str, tuple[int, int]] = {}
    for episode in episodes:
        right, asked = out.get(episode.kind, (0, 0))
        out[episode.kind] = right + episode.right, asked + 1
    return out


def _area(found: FindResult, finder: GoalFinder, world: WorldTruth, world_from_map: Pose2) -> str:
    """The area that the best candidate's landmark belongs to: of those that contain it or the standing place, the goal comes first."""
    if not found.candidates:
        return ""
    best = found.candidates[0]
    stand = world_from_map @ best.map_from_goal
    points = [np.array([stand.x, stand.y])]
    if best.landmark_id is not None:
        mark = world_from_map.apply(np.asarray(finder.loaded.map.landmarks[best.landmark_id].position_map[:2]))
        near = [m for m in world.landmarks if np.linalg.norm(np.asarray(m.position[:2]) - mark) < 0.5 and m.area]
        if near:
            return max(near, key=lambda m: text_similarity(normalise_text(m.text or m.category), normalise_text(best.label))).area
        points.insert(0, mark)
    for point in points:
        inside = [a for a in world.areas if a.contains(float(point[0]), float(point[1]))]
        if inside:
            return max(inside, key=lambda a: a.is_goal).name
    return ""
