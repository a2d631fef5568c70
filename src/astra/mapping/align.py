"""A map into the frame of a user's own Nav2 map, so that its masks, zones and goals apply.

The walls that the tour's scans saw are laid over the user's. Where a building repeats itself there is more than one way to do so: then nothing
is moved, and the error names the two.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.geometry import Pose2, Pose3, Similarity
from astra.mapping.arrange import Placed
from astra.mapping.cloud import CloudConfig, thin_cloud, write_cloud
from astra.mapping.colmap import move_model
from astra.mapping.contents import MapContents, load_contents
from astra.mapping.grid_match import GridMotion, MatchConfig, Walls, match_grids
from astra.mapping.merged_features import moved_points, unique_points
from astra.mapping.merged_grid import merge_grids
from astra.mapping.nav2_map import Nav2Map, load_nav2_map
from astra.mapping.occupancy import write_nav2_map
from astra.topomap import TopoMap
from astra.topomap.io import save_map


@dataclass(frozen=True, slots=True)
class AlignConfig:
    """What counts as the same building, and what as undecided."""

    match: MatchConfig = field(default_factory=MatchConfig)
    cloud: CloudConfig = field(default_factory=CloudConfig)
    min_fit: float = 0.55  # of the walls inside what the user's map knows that lie on its walls
    min_coverage: float = 0.3  # of our walls that the user's map knows at all
    max_empty: float = 0.25  # of them that stand in its free space
    margin: float = 0.05  # by which the best motion's score must exceed the next best one's …
    doubt: float = 0.5  # … and this much of what speaks against the best one
    scale_sigma: float = 0.01  # where the map does not say
    near_m: float = 2.0  # around a place the user gives

    def __post_init__(self) -> None:
        require(0.0 < self.min_fit <= 1.0, "min_fit", self.min_fit, "in (0, 1]")
        require(0.0 <= self.min_coverage <= 1.0, "min_coverage", self.min_coverage, "in [0, 1]")
        require(0.0 <= self.max_empty <= 1.0, "max_empty", self.max_empty, "in [0, 1]")
        require(0.0 <= self.margin < 1.0, "margin", self.margin, "in [0, 1)")
        require(0.0 <= self.doubt <= 1.0, "doubt", self.doubt, "in [0, 1]")
        require(0.0 < self.scale_sigma < 0.5, "scale_sigma", self.scale_sigma, "in (0, 0.5)")
        require(self.near_m > 0.0, "near_m", self.near_m, "> 0")


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the map lies in the user's frame, and the score of the next best way against this one's."""

    motion: GridMotion
    user_from_map: Pose2
    rival: float

    def record(self) -> dict[str, object]:
        """For the map's build record and `--json`."""
        pose, m = self.user_from_map, self.motion
        return {
            "user_from_map": {"x": round(pose.x, 4), "y": round(pose.y, 4), "yaw_rad": round(pose.yaw, 6)},
            "scale": round(m.scale, 6),
            "residual_m": round(m.residual_m, 4),
            "fit": round(m.fit, 4),
            "coverage": round(m.coverage, 4),
            "empty": round(m.empty, 4),
            "rival": round(self.rival, 4),
        }


def align_map(path: Path, nav2_yaml: Path, out: Path | None = None, config: AlignConfig | None = None, near: Pose2 | None = None) -> Alignment:
    """Move the map at `path` into the frame of the Nav2 map and write it to `out`, or in its own place; on any error it stays as it was.

    Args:
        near: about where the map's origin lies in the user's frame, if the walls leave it open.

    Raises:
        MapError: `path` is no map, or a damaged one.
        BadInputError: the map has no metres or no occupancy grid, the Nav2 map cannot be read, or the walls do not say how they lie.
    """
    config = config or AlignConfig()
    contents, theirs = load_contents(path), load_nav2_map(nav2_yaml)
    if not contents.is_metric:
        raise BadInputError(f"{path} has an unknown scale: it cannot be laid over a map in metres")
    file = path / "nav2" / "map.yaml"
    if not file.is_file():
        raise BadInputError(f"{path} has no occupancy grid: its tour had no scans, so there are no walls to compare")
    ours = load_nav2_map(file)
    found = find_alignment(ours, theirs, contents.topo.info.scale_sigma, config, near)
    pose, scale = found.user_from_map, found.motion.scale
    lifted = Pose3.from_pose2(pose)
    motion = Similarity(scale, lifted.rotation, lifted.translation)
    _write(contents, ours, theirs, motion, {"map": str(nav2_yaml), **found.record()}, out or path, config)
    return found


def find_alignment(ours: Nav2Map, theirs: Nav2Map, scale_sigma: float, config: AlignConfig, near: Pose2 | None = None) -> Alignment:
    """How our grid lies in theirs.

    Raises:
        BadInputError: one has no walls, they do not fit, or they fit in two ways.
    """
    for grid, name in ((ours, "the map's own grid"), (theirs, "the Nav2 map")):
        if int(grid.occupied.sum()) < 50:
            raise BadInputError(f"{name} has {int(grid.occupied.sum())} occupied cells: too few to lay one map over the other")
    sigma = scale_sigma if math.isfinite(scale_sigma) and scale_sigma > 0.0 else config.scale_sigma
    # Theirs is compared in its corner's frame: its origin may be turned.
    their_near = None if near is None else theirs.origin.inverse() @ near
    motions = match_grids(_walls(ours, ours.origin), _walls(theirs, Pose2()), sigma, config.match, their_near, config.near_m)
    if not motions:
        raise BadInputError("the Nav2 map shows nothing that looks like this map's walls")
    _refuse_poor(motions[0], config)
    best = motions[0]
    rival = max(motions[1].score, 0.0) / best.score if len(motions) > 1 else 0.0
    poses = [theirs.origin @ m.target_from_source for m in motions[:2]]
    if (1.0 - rival) * best.score < config.margin + config.doubt * (1.0 - best.fit + best.empty):
        ways = " or ".join(f"x {p.x:.2f} y {p.y:.2f} yaw {math.degrees(p.yaw):.0f}°" for p in poses)
        raise BadInputError(
            f"the walls fit in two ways, {ways} ({100 * rival:.0f} % as well): say where the map's origin lies with --near X Y YAW"
        )
    return Alignment(best, poses[0], rival)


def _refuse_poor(best: GridMotion, config: AlignConfig) -> None:
    """An error if the best motion is no fit."""
    reasons = []
    if best.coverage < config.min_coverage:
        reasons.append(f"it knows only {100 * best.coverage:.0f} % of this map's walls")
    if best.fit < config.min_fit:
        reasons.append(f"only {100 * best.fit:.0f} % of them lie on its walls")
    if best.empty > config.max_empty:
        reasons.append(f"{100 * best.empty:.0f} % of them stand in its free space")
    if reasons:
        raise BadInputError(f"the Nav2 map does not fit this map: {', '.join(reasons)}")


def _walls(grid: Nav2Map, origin: Pose2) -> Walls:
    """The grid with its corner at `origin`, whose heading is not used; of thick walls only the faces, which is what scans see."""
    from scipy.ndimage import binary_dilation

    faces = grid.occupied & binary_dilation(grid.free, np.ones((3, 3), dtype=bool))
    return Walls(faces, grid.free, grid.resolution_m, np.array([origin.x, origin.y]))


def _write(
    contents: MapContents, ours: Nav2Map, theirs: Nav2Map, motion: Similarity, record: dict[str, object], out: Path, config: AlignConfig
) -> None:
    placed = {(0, number): Placed(number, motion) for number in contents.fragments}
    features = dataclasses.replace(contents.features, points_map=moved_points(contents, placed, 0).astype(np.float32))
    topo = _moved(contents.topo, motion, record)
    main = {view.id for node in topo.nodes.values() if node.fragment == 0 for view in node.views}
    grid = merge_grids(None, ours.occupancy(), Placed(0, motion))
    images = {view.image: contents.path / view.image for view in contents.views.values()}
    extras = Path(tempfile.mkdtemp(prefix=".align.", dir=out.parent if out.parent.is_dir() else None))
    try:
        for source in sorted((contents.path / "sfm").glob("*")):
            move_model(source, motion, extras / "sfm" / source.name)
        write_cloud(thin_cloud(unique_points(features, main), config.cloud), extras / "cloud.ply")
        write_nav2_map(grid, extras / "nav2")
        save_map(topo, features, images, out, {p.name: p for p in extras.iterdir()})
    finally:
        shutil.rmtree(extras, ignore_errors=True)


def _moved(topo: TopoMap, motion: Similarity, record: dict[str, object]) -> TopoMap:
    """Everything in the graph carried along, and the record of it."""
    nodes = {
        k: dataclasses.replace(
            node,
            map_from_base=motion.carry(node.map_from_base),
            views=tuple(dataclasses.replace(view, map_from_cam=motion.carry(view.map_from_cam)) for view in node.views),
            position_sigma_m=node.position_sigma_m * motion.scale,
        )
        for k, node in topo.nodes.items()
    }
    edges = tuple(dataclasses.replace(e, length_m=e.length_m * motion.scale, width_m=e.width_m * motion.scale) for e in topo.edges)
    marks = {
        k: dataclasses.replace(
            mark,
            position_map=motion.apply(mark.position_map),
            position_sigma_m=mark.position_sigma_m * motion.scale,
            normal_map=None if mark.normal_map is None else motion.rotation @ mark.normal_map,
            covariance_map=mark.turned_covariance(motion.rotation, motion.scale),
        )
        for k, mark in topo.landmarks.items()
    }
    earlier: object = topo.info.build.get("aligned", [])
    history: Sequence[object] = earlier if isinstance(earlier, list) else []
    info = dataclasses.replace(topo.info, build={**topo.info.build, "aligned": [*history, record]})
    return TopoMap(info, topo.cameras, nodes, edges, marks)
