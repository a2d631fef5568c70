"""Two maps of one building become one, where the images prove how they lie to each other; what they do not prove stays a fragment of its own.

The first map's frame and the ids of its nodes, views and landmarks are kept; the second one's ids are counted on from there.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.geometry import CameraModel
from astra.mapping.arrange import Key, Placed, arrange, bent
from astra.mapping.bend import BendConfig
from astra.mapping.cloud import CloudConfig, thin_cloud, write_cloud
from astra.mapping.colmap import move_model
from astra.mapping.contents import MapContents, load_contents
from astra.mapping.covisibility import extend_covisibility, landmark_ids_by_node
from astra.mapping.graph import GraphConfig, build_edges
from astra.mapping.join import Frames
from astra.mapping.joint import JointConfig, adjust, followed
from astra.mapping.keyframes import Keyframe
from astra.mapping.landmarks import LandmarkConfig, ViewEvidence
from astra.mapping.merged_features import merge_features, unique_points, view_rows
from astra.mapping.merged_grid import merge_grids
from astra.mapping.merged_landmarks import merge_landmarks
from astra.mapping.occupancy import Occupancy, write_nav2_map
from astra.mapping.progress import Progress, Quiet, StageClock
from astra.mapping.scale import UNKNOWN_UNIT
from astra.mapping.trial import Trial, TrialConfig, frames_of, grid_of, try_joins
from astra.topomap import Edge, EdgeKind, Landmark, MapInfo, Node, TopoMap, View
from astra.topomap.audit import FragmentAudit, MapAudit, Verdict
from astra.topomap.features import MapFeatures
from astra.topomap.io import save_map

MAX_FOCAL_CHANGE = 0.01  # of a camera that two sessions share


@dataclass(frozen=True, slots=True)
class MergeConfig:
    """One configuration a step."""

    trial: TrialConfig = field(default_factory=TrialConfig)
    bend: BendConfig = field(default_factory=BendConfig)
    joint: JointConfig = field(default_factory=JointConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)
    cloud: CloudConfig = field(default_factory=CloudConfig)
    same_point_m: float = 0.1  # two maps' points of one feature are one point if they lie this near

    def __post_init__(self) -> None:
        require(self.same_point_m > 0.0, "same_point_m", self.same_point_m, "> 0")


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """The merged map's description, every trial, and whether the maps' first fragments lie in one now."""

    info: MapInfo
    trials: tuple[Trial, ...]
    is_joined: bool


def merge_maps(first: Path, second: Path, out: Path, config: MergeConfig | None = None, progress: Progress | None = None) -> Merged:
    """Merge the second map into the first one's frame and write the result to `out`, which may be one of the two.

    Raises:
        MapError: one of them is no map, or a damaged one. `out` stays as it was.
        BadInputError: the maps cannot be compared, or are the same.
    """
    config = config or MergeConfig()
    if first.resolve() == second.resolve():
        raise BadInputError(f"{first} cannot be merged with itself")
    a, b = load_contents(first), load_contents(second)
    clock = StageClock(progress or Quiet())
    with clock.stage("comparing", len(b.topo.nodes)) as tick:
        trials = try_joins(a, b, config.trial, tick)
    with clock.stage("joining"):
        merging = _Merging(a, b, config, trials)
        merging.place()
        nodes, features = merging.nodes(), merging.features()
        grid = merging.grid()
        landmarks = merging.landmarks(nodes, features)
        seen_at = landmark_ids_by_node(landmarks)
        nodes = {k: dataclasses.replace(node, landmark_ids=seen_at.get(k, ())) for k, node in nodes.items()}
        edges = merging.edges(nodes, features, grid)
    with clock.stage("writing"):
        topo = TopoMap(merging.info(out.name), merging.cameras(), nodes, edges, {mark.id: mark for mark in landmarks})
        _write(merging, topo, features, grid, out)
    return Merged(topo.info, tuple(trials), merging.is_joined)


@dataclass(slots=True, eq=False)
class _Merging:
    """Two maps on their way to one; ids of B are counted on from A's."""

    a: MapContents
    b: MapContents
    config: MergeConfig
    trials: Sequence[Trial]
    placed: dict[Key, Placed] = field(default_factory=dict)
    used: list[Trial] = field(default_factory=list)

    @property
    def maps(self) -> tuple[MapContents, MapContents]:
        return self.a, self.b

    @property
    def is_joined(self) -> bool:
        return self.placed[0, min(self.a.fragments)].fragment == self.placed[1, min(self.b.fragments)].fragment

    def place(self) -> None:
        """Lay out all fragments, then bend B's onto A's, first by their places, then by what both see."""
        self.placed, self.used = arrange(self.a, self.b, self.trials)
        frames = frames_of(self.a, self.b, self.config.trial.join)
        for trial in self.used:
            key = (1, trial.fragment_b)
            if self.placed[key].bend is None and trial.found is not None:
                target = self.placed[0, trial.fragment_a]
                self.placed[key] = bent(
                    self.placed[key], self.b, trial.fragment_b, trial.found.members, target, frames.level, self.config.bend, frames.unit
                )
        for key in {(1, trial.fragment_b): None for trial in self.used}:
            self.placed[key] = self._adjusted(key, frames)

    def _adjusted(self, key: Key, frames: Frames) -> Placed:
        """A fragment of B bent to where bundle adjustment against A's views puts its nodes."""
        spot, offset = self.placed[key], self.node_offset(1)
        mine = {node.id: node for node in self.b.fragments[key[1]]}
        nodes = {k: node for k, node in self.nodes().items() if node.fragment == spot.fragment}
        found = adjust(nodes, {k + offset for k in mine}, self.features(), self.cameras(), self.config.joint)
        if not found:
            return spot
        rigid = {k: spot.new_from_old.carry(node.map_from_base) for k, node in mine.items()}
        moved = {k - offset: pose for k, pose in found.items()}
        return dataclasses.replace(spot, bend=followed(spot.bend, rigid, moved, frames.level, self.config.bend.max_shift_m * frames.unit))

    def node_offset(self, which: int) -> int:
        return 0 if which == 0 else max(self.a.topo.nodes, default=-1) + 1

    def view_offset(self, which: int) -> int:
        return 0 if which == 0 else max(self.a.views, default=-1) + 1

    def landmark_offset(self, which: int) -> int:
        return 0 if which == 0 else max(self.a.topo.landmarks, default=-1) + 1

    def camera_names(self) -> dict[tuple[int, str], str]:
        """(map, camera) → name; a camera of B with A's name and another model gets a number."""
        names = {(0, name): name for name in self.a.topo.cameras}
        for name, model in self.b.topo.cameras.items():
            new, count = name, 1
            while new in self.a.topo.cameras and self.a.topo.cameras[new] != model:
                new, count = f"{name}_{count}", count + 1
            names[1, name] = new
        return names

    def cameras(self) -> dict[str, CameraModel]:
        names = self.camera_names()
        return {new: self.maps[which].topo.cameras[old] for (which, old), new in sorted(names.items(), key=lambda item: item[0][0], reverse=True)}

    def image_names(self) -> dict[tuple[int, str], str]:
        """(map, image) → path in the merged map; a name that is taken gets a number."""
        taken = {view.image for view in self.a.views.values()}
        names = {(0, image): image for image in taken}
        for image in sorted(view.image for view in self.b.views.values()):
            path, new, count = Path(image), image, 2
            while new in taken:
                new, count = path.with_name(f"{path.stem}-{count}{path.suffix}").as_posix(), count + 1
            taken.add(new)
            names[1, image] = new
        return names

    def nodes(self) -> dict[int, Node]:
        cameras, images = self.camera_names(), self.image_names()
        out = {}
        for which, contents in enumerate(self.maps):
            for node in contents.topo.nodes.values():
                spot = self.placed[which, node.fragment]
                views = tuple(
                    View(v.id + self.view_offset(which), cameras[which, v.camera], images[which, v.image], spot.pose(node.id, v.map_from_cam))
                    for v in node.views
                )
                new_id = node.id + self.node_offset(which)
                sigma = node.position_sigma_m * spot.new_from_old.scale
                out[new_id] = Node(new_id, node.stamp_ns, spot.pose(node.id, node.map_from_base), views, (), spot.fragment, sigma)
        return out

    def features(self) -> MapFeatures:
        pairs = [m.pairs for t in self.used if t.found is not None for m in t.found.members]
        near = self.config.same_point_m * frames_of(self.a, self.b, self.config.trial.join).unit
        return merge_features(self.a, self.b, self.placed, pairs, near, self.view_offset(1))

    def grid(self) -> Occupancy | None:
        """A's grid with B's worked into it, or the only one there is of the first fragment."""
        spot = self.placed[1, min(self.b.fragments)]
        own, other = grid_of(self.a), grid_of(self.b) if self.is_joined else None
        return own if other is None else merge_grids(own, other, spot)

    def landmarks(self, nodes: Mapping[int, Node], features: MapFeatures) -> list[Landmark]:
        """Of both maps, one thing once, each fragment for itself; and who sees them."""
        marks = merge_landmarks(self.a, self.b, self.placed, self.landmark_offset(1), self.node_offset(1), self.view_offset(1), self.config.landmarks)
        cameras, out = self.cameras(), []
        for fragment in sorted({node.fragment for node in nodes.values()}):
            mine = [mark for mark in marks if nodes[mark.node_ids[0]].fragment == fragment]
            if mine:
                out += extend_covisibility(mine, _evidence(nodes, fragment, features, cameras))
        return sorted(out, key=lambda mark: mark.id)

    def edges(self, nodes: Mapping[int, Node], features: MapFeatures, grid: Occupancy | None) -> tuple[Edge, ...]:
        """Each map's own edges, and those between nodes of both that see each other."""
        out = {}
        for which, contents in enumerate(self.maps):
            offset = self.node_offset(which)
            for edge in contents.topo.edges:
                a, b = edge.a + offset, edge.b + offset
                length = float(np.linalg.norm(nodes[a].map_from_base.translation - nodes[b].map_from_base.translation))
                scale = length / edge.length_m if edge.length_m > 1e-9 else 1.0
                out[a, b] = dataclasses.replace(edge, a=a, b=b, length_m=length, width_m=edge.width_m if contents.is_metric else edge.width_m * scale)
        first_of_b = self.node_offset(1)
        metre = 1.0 if self.a.is_metric or self.lends_metres else UNKNOWN_UNIT
        views = {n: {v.id for node in nodes.values() if node.fragment == n for v in node.views} for n in {node.fragment for node in nodes.values()}}
        points = {number: unique_points(features, mine) for number, mine in views.items()}
        for edge in build_edges(nodes, self.keyframes(), _seen_points(nodes, features), grid, self.config.graph, points, metre):
            if edge.a < first_of_b <= edge.b:
                out[edge.a, edge.b] = edge
        return tuple(out[key] for key in sorted(out))

    def keyframes(self) -> list[Keyframe]:
        """The nodes as keyframes: a tour is what driven edges string together."""
        out, tour = [], -1
        for which, contents in enumerate(self.maps):
            driven = {(e.a, e.b) for e in contents.topo.edges if e.kind is EdgeKind.DRIVEN}
            before = None
            for k in sorted(contents.topo.nodes):
                tour += before is None or ((before, k) not in driven and (k, before) not in driven)
                out.append(Keyframe(k + self.node_offset(which), tour, contents.topo.nodes[k].stamp_ns, None, ()))
                before = k
        return out

    @property
    def lends_metres(self) -> bool:
        """Whether B's metres become A's, which had none."""
        return self.is_joined and not self.a.is_metric and self.b.is_metric

    def info(self, name: str) -> MapInfo:
        one, two = self.a.topo.info, self.b.topo.info
        scale = two if self.lends_metres else one
        sessions = one.build.get("sessions")
        earlier = list(sessions) if isinstance(sessions, list) else []
        session = {"name": two.name, "nodes": len(self.b.topo.nodes), "trials": [t.record() for t in self.trials], "build": dict(two.build)}
        build: dict[str, object] = {**one.build, "sessions": [*earlier, session]}
        return MapInfo(
            name,
            scale.scale_source,
            scale.scale_sigma,
            tuple(self._warnings()),
            build,
            self._audit(),
            scale_witnesses=scale.scale_witnesses,
            up_source=one.up_source,
            up_sigma_rad=one.up_sigma_rad,
        )

    def _warnings(self) -> list[str]:
        sides = ((self.a, self.lends_metres), (self.b, self.is_joined and self.a.is_metric))
        texts = [text for contents, known in sides for text in contents.topo.info.warnings if not (known and text.startswith("the scale is unknown"))]
        if not self.is_joined:
            best = next(t for t in self.trials if (t.fragment_a, t.fragment_b) == (min(self.a.fragments), min(self.b.fragments)))
            texts.append(f"{self.b.topo.info.name} stays a fragment of its own: {'; '.join(best.objections) or 'no evidence joins it'}")
            if self.a.is_metric != self.b.is_metric:
                texts.append(f"lengths of {(self.b if self.a.is_metric else self.a).topo.info.name} are in arbitrary units")
        return list(dict.fromkeys(texts + self._camera_warnings()))

    def _camera_warnings(self) -> list[str]:
        """One camera, two focal lengths: then one of the maps is bent, and no rigid motion lays it over the other."""
        texts = []
        for name, theirs in self.b.topo.cameras.items():
            ours = self.a.topo.cameras.get(name, theirs)
            if (ours.width, ours.height) == (theirs.width, theirs.height) and abs(theirs.fx / ours.fx - 1.0) > MAX_FOCAL_CHANGE:
                was, now, session = f"{ours.fx:.0f} px", f"{theirs.fx:.0f} px", self.b.topo.info.name
                texts.append(f"camera {name} has a focal length of {was}, and of {now} in {session}: if it is one camera, build both with one calibration")
        return texts

    def _audit(self) -> MapAudit | None:
        """Both maps' verdicts: a fragment is as doubtful as the worst of its parts."""
        one, two = self.a.topo.info.audit, self.b.topo.info.audit
        if one is None or two is None:
            return None
        fragments = []
        for number in range(1 + max(spot.fragment for spot in self.placed.values())):
            parts = [(one, two)[which].fragments[k] for (which, k), spot in self.placed.items() if spot.fragment == number]
            joins = sum(t.found.places for t in self.used if t.found is not None and self.placed[1, t.fragment_b].fragment == number)
            verdict = Verdict.DOUBTFUL if any(p.verdict is Verdict.DOUBTFUL for p in parts) else Verdict.CONSISTENT
            reasons, checks = _union(p.reasons for p in parts), _union([*(p.checks for p in parts), ("sessions",) if joins else ()])
            fragments.append(FragmentAudit(sum(p.nodes for p in parts), verdict, reasons, sum(p.loops for p in parts) + joins, checks))
        verdict = Verdict.DOUBTFUL if Verdict.DOUBTFUL in (one.verdict, two.verdict) else Verdict.CONSISTENT
        offset = self.node_offset(1)
        theirs = tuple(dataclasses.replace(loop, a=loop.a + offset, b=loop.b + offset) for loop in two.suspicious_loops)
        return MapAudit(verdict, _union((one.reasons, two.reasons)), tuple(fragments), one.suspicious_loops + theirs)


def _union(parts: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for part in parts for text in part))  # type: ignore[attr-defined]


def _evidence(nodes: Mapping[int, Node], fragment: int, features: MapFeatures, cameras: Mapping[str, CameraModel]) -> list[ViewEvidence]:
    """What the views of a fragment see, without detections: those are not kept in a map."""
    rows = view_rows(features)
    return [
        ViewEvidence(v.id, node.id, cameras[v.camera], v.map_from_cam, features.keypoints[rows[v.id]], features.points_map[rows[v.id]])
        for node in nodes.values()
        if node.fragment == fragment
        for v in node.views
    ]


def _seen_points(nodes: Mapping[int, Node], features: MapFeatures) -> dict[int, frozenset[int]]:
    rows = view_rows(features)
    seen = {}
    for node in nodes.values():
        ids = np.concatenate([features.point_ids[rows[v.id]] for v in node.views])
        seen[node.id] = frozenset(ids[ids >= 0].tolist())
    return seen


def _write(merging: _Merging, topo: TopoMap, features: MapFeatures, grid: Occupancy | None, out: Path) -> None:
    images = {new: merging.maps[which].path / old for (which, old), new in merging.image_names().items()}
    extras = Path(tempfile.mkdtemp(prefix=".merge.", dir=out.parent if out.parent.is_dir() else None))
    try:
        _write_models(merging, extras / "sfm")
        main = {view.id for node in topo.nodes.values() if node.fragment == 0 for view in node.views}
        write_cloud(thin_cloud(unique_points(features, main), merging.config.cloud), extras / "cloud.ply")
        if grid is not None:
            write_nav2_map(grid, extras / "nav2")
        save_map(topo, features, images, out, {p.name: p for p in extras.iterdir()})
    finally:
        shutil.rmtree(extras, ignore_errors=True)


def _write_models(merging: _Merging, folder: Path) -> None:
    """COLMAP's models of both maps, each in the merged frame; they are rigid, the bend is not in them."""
    number = 0
    for which, contents in enumerate(merging.maps):
        for source in sorted((contents.path / "sfm").glob("*"), key=lambda p: (len(p.name), p.name)):
            fragment = int(source.name) if source.name.isdigit() else -1
            spot = merging.placed.get((which, fragment))
            target = folder / str(number)
            number += 1
            if spot is None or (which == 0 and np.allclose(spot.new_from_old.apply(np.eye(3)), np.eye(3))):
                shutil.copytree(source, target)
                continue
            move_model(source, spot.new_from_old, target)
