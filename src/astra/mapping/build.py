"""The pipeline of paper section 3.1.1: tours in, a map folder out. Stages leave artefacts in a work folder and are not repeated."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astra import __version__
from astra.core.config import require
from astra.core.errors import BadInputError, MappingError
from astra.core.paths import cache_dir
from astra.core.types import Float32Array
from astra.geometry import CameraModel, CameraRig
from astra.mapping.association import associate
from astra.mapping.cloud import CloudConfig, floor_warnings, thin_cloud, write_cloud
from astra.mapping.covisibility import extend_covisibility, landmark_ids_by_node
from astra.mapping.detections import Detections, detect_landmarks, load_detections, save_detections
from astra.mapping.features import PlaceEncoder, ViewSet, extract_features, load_views, save_views
from astra.mapping.graph import GraphConfig, build_edges, build_nodes, position_sigmas
from astra.mapping.keyframes import Keyframe, KeyframeConfig, KeyView, select_keyframes
from astra.mapping.landmarks import LandmarkConfig, LandmarkExtractor, ViewEvidence
from astra.mapping.occupancy import Occupancy, OccupancyConfig, build_occupancy, refined_trajectory, write_nav2_map
from astra.mapping.pairs import PairConfig, PairMatches, choose_pairs, load_matches, match_pairs, save_matches
from astra.mapping.progress import Progress, Quiet, StageClock
from astra.mapping.scale import MetricFragment, ScaleConfig, at_tour_start, inconsistencies, place_by_odometry, to_metric
from astra.mapping.sfm import SfmConfig, SfmInput, load_fragments, reconstruct, verify, write_database, write_metric_model
from astra.mapping.tour import Tour, base_from_sensor, is_calibrated, is_mounted, usable_rig
from astra.mapping.workspace import Workspace
from astra.perception.local import LocalFeatureConfig
from astra.topomap import Landmark, MapInfo, Node, TopoMap
from astra.topomap.features import MapFeatures
from astra.topomap.io import save_map

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MappingConfig:
    """One configuration a stage; the map records them all."""

    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    local: LocalFeatureConfig = field(default_factory=LocalFeatureConfig)
    pairs: PairConfig = field(default_factory=PairConfig)
    sfm: SfmConfig = field(default_factory=SfmConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    occupancy: OccupancyConfig = field(default_factory=OccupancyConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)
    cloud: CloudConfig = field(default_factory=CloudConfig)
    threads: int = 2
    min_registered: float = 0.8  # share of the keyframes below which the map warns
    max_read_images: int = 260  # that the landmark extractor sees; of a longer tour every second, third … keyframe

    def __post_init__(self) -> None:
        require(1 <= self.threads <= 256, "threads", self.threads, "1 … 256")
        require(0.0 <= self.min_registered <= 1.0, "min_registered", self.min_registered, "in [0, 1]")
        require(self.max_read_images >= 1, "max_read_images", self.max_read_images, "≥ 1")


def build_map(
    tours: Sequence[Tour],
    out: Path,
    config: MappingConfig | None = None,
    extractor: LandmarkExtractor | None = None,
    place_encoder: PlaceEncoder | None = None,
    progress: Progress | None = None,
) -> MapInfo:
    """Build the map of one or several tours of the same building and write it to `out`.

    Args:
        extractor: finds landmarks in images; None makes a map without landmarks.
        place_encoder: describes images for retrieval; None makes a map without place descriptors and finds no loops by sight.

    Raises:
        MappingError: no map can be built from these images; `out` stays as it was.
        BadInputError: no tour was given, or `out` is something else than a map.
    """
    config = config or MappingConfig()
    _check(tours, out)
    clock = StageClock(progress or Quiet())
    build = _Build(tours, [usable_rig(tour.rig) for tour in tours], config, extractor, place_encoder, clock)
    with ThreadPoolExecutor(1) as beside:
        build.select_keyframes()
        reading = beside.submit(build.read_landmarks)  # its one thread fills the gaps that SfM leaves
        try:
            build.extract_features()
            build.match()
            build.reconstruct()
            build.make_metric()
            build.scan_occupancy()
            detections = _await(reading, clock)
        except BaseException:
            build.cancelled = True
            reading.cancel()
            raise
    nodes, landmarks = build.connect(detections)
    info = build.write(nodes, landmarks, out)
    forget_old_workspaces(keep=8)
    return info


@dataclass(slots=True, eq=False)
class _Build:
    """The state of one build; each method is a stage."""

    tours: Sequence[Tour]
    rigs: Sequence[CameraRig]
    config: MappingConfig
    extractor: LandmarkExtractor | None
    encoder: PlaceEncoder | None
    clock: StageClock
    keyframes: list[Keyframe] = field(default_factory=list)
    fragments: list[MetricFragment] = field(default_factory=list)
    occupancy: Occupancy | None = None
    refused_pairs: int = 0
    pair_count: int = 0
    cancelled: bool = False
    work: Workspace = field(init=False)
    views: ViewSet = field(init=False)
    matches: list[PairMatches] = field(init=False)

    @property
    def key_views(self) -> list[KeyView]:
        return [view for keyframe in self.keyframes for view in keyframe.views]

    def select_keyframes(self) -> None:
        root = cache_dir() / "mapping"
        scratch = Workspace.scratch(root)
        try:
            with self.clock.stage("keyframes") as tick:
                for index, tour in enumerate(self.tours):
                    first_view = len(self.key_views)
                    self.keyframes += select_keyframes(
                        tour, index, len(self.keyframes), first_view, scratch, self.config.keyframes, lambda: tick(1)
                    )
            self.work = Workspace(root, scratch, self.keyframes, self.rigs)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def read_landmarks(self) -> Detections:
        extractor = self.extractor
        if extractor is None:
            return {}
        stride = -(-len(self.key_views) // self.config.max_read_images)
        views = [view for keyframe in self.keyframes[::stride] for view in keyframe.views]
        path = self.work.path("detections", ".json", extractor.name, stride)
        return self.work.file(
            path,
            lambda: detect_landmarks(views, self.work.images, extractor, self._count_reading),
            save_detections,
            load_detections,
        )

    def _count_reading(self, done: int) -> None:
        if self.cancelled:
            raise MappingError("cancelled")

    def extract_features(self) -> None:
        config, views = self.config, self.key_views
        path = self.work.path("features", ".npz", config.local, type(self.encoder).__name__, getattr(self.encoder, "config", None))
        with self.clock.stage("features", len(views)) as tick:
            self.views = self.work.file(
                path,
                lambda: extract_features(views, self.work.images, config.local, self.encoder, config.threads, tick),
                save_views,
                load_views,
            )
        if len(self.views.keypoints) < 8 * len(views):
            raise MappingError(f"the images show next to nothing: {len(self.views.keypoints) / len(views):.1f} features an image")

    def match(self) -> None:
        config = self.config
        pairs = choose_pairs(self.keyframes, self.rigs, self.views, config.pairs)
        self.pair_count = len(pairs)
        path = self.work.path("matches", ".npz", config.local, config.pairs, type(self.encoder).__name__)
        with self.clock.stage("matching", len(pairs)) as tick:
            self.matches = self.work.file(
                path, lambda: match_pairs(pairs, self.views, config.local, config.threads, tick), save_matches, load_matches
            )
        if not self.matches:
            raise MappingError("no two images show the same thing: is this one tour of one place, in order?")

    def reconstruct(self) -> None:
        config = self.config
        source = SfmInput(self.keyframes, self.rigs, [is_calibrated(tour) for tour in self.tours], self.views)
        path = self.work.path("sfm", "", config.local, config.pairs, config.sfm, type(self.encoder).__name__, list(source.calibrated))

        def run(scratch: Path) -> None:
            database = scratch / "database.db"
            with self.clock.stage("verifying"):
                write_database(database, source, self.matches)
                refused = verify(database, source, config.sfm)
            with self.clock.stage("sfm", len(self.keyframes)) as tick:
                reconstruct(database, scratch / "sparse", source, config.sfm, lambda: tick(1))
            (scratch / "refused.json").write_text(json.dumps(refused))

        folder = self.work.folder(path, run)
        self.refused_pairs = int(json.loads((folder / "refused.json").read_text()))
        fragments = load_fragments(folder / "sparse", source, config.sfm)
        mounted = is_mounted(self.tours[0].rig)
        metric = [to_metric(fragment, self.keyframes, self.rigs, mounted, config.scale) for fragment in fragments]
        first = next(k for k in self.keyframes if k.id == min(metric[0].map_from_base))
        self.fragments = [at_tour_start(metric[0], self.keyframes, self.tours[first.tour].odometry), *metric[1:]]

    def make_metric(self) -> None:
        anchor = self.fragments[0]
        self.fragments = [anchor, *(place_by_odometry(fragment, anchor, self.keyframes) for fragment in self.fragments[1:])]

    def scan_occupancy(self) -> None:
        planar = {k: pose.pose2() for k, pose in self.fragments[0].map_from_base.items()}
        with self.clock.stage("occupancy"):
            tracks = []
            for index, tour in enumerate(self.tours):
                scans = tour.scans()
                mine = [k for k in self.keyframes if k.tour == index]
                if not len(scans) or tour.odometry is None or not any(k.id in planar for k in mine):
                    continue
                mounts = {frame: base_from_sensor(tour, frame).pose2() for frame in {scan.frame for scan in scans}}
                tracks.append((refined_trajectory(mine, planar, tour.odometry), scans, mounts))
            self.occupancy = build_occupancy(tracks, self.config.occupancy)

    def connect(self, detections: Detections) -> tuple[dict[int, Node], tuple[Landmark, ...]]:
        """Nodes and landmarks, each listing the other."""
        sigmas: dict[int, float] = {}
        for fragment in self.fragments:
            sigmas |= position_sigmas(fragment, self.keyframes, self._focal_px())
        nodes = build_nodes(self.fragments, self.keyframes, self._camera_names(), sigmas)
        with self.clock.stage("landmarks"):
            evidence = self._evidence(detections)
            landmarks = extend_covisibility(associate(evidence, self.config.landmarks), evidence)
        seen_at = landmark_ids_by_node(landmarks)
        nodes = {k: dataclasses.replace(node, landmark_ids=seen_at.get(k, ())) for k, node in nodes.items()}
        return nodes, tuple(landmarks)

    def write(self, nodes: dict[int, Node], landmarks: Sequence[Landmark], out: Path) -> MapInfo:
        with self.clock.stage("writing"):
            edges = build_edges(nodes, self.keyframes, self._seen_points(nodes), self.occupancy, self.config.graph)
            info = self._info(nodes, landmarks, len(edges), out)
            topo = TopoMap(info, self._cameras(), nodes, edges, {mark.id: mark for mark in landmarks})
            images = {view.image: self.work.images / Path(view.image).name for node in nodes.values() for view in node.views}
            extras = Path(tempfile.mkdtemp(prefix=".extras.", dir=self.work.root))
            try:
                for number, fragment in enumerate(self.fragments):
                    write_metric_model(fragment.sfm, fragment.scale.metres_per_unit, fragment.map_from_sfm, extras / "sfm" / str(number))
                write_cloud(thin_cloud(self.fragments[0].points_map, self.config.cloud), extras / "cloud.ply")
                if self.occupancy is not None:
                    write_nav2_map(self.occupancy, extras / "nav2")
                save_map(topo, self._map_features(nodes), images, out, {p.name: p for p in extras.iterdir()})
            finally:
                shutil.rmtree(extras, ignore_errors=True)
        return info

    def _info(self, nodes: Mapping[int, Node], landmarks: Sequence[Landmark], edges: int, out: Path) -> MapInfo:
        import cv2
        import pycolmap

        first = self.fragments[0]
        build = {
            "tours": [tour.name for tour in self.tours],
            "keyframes": len(self.keyframes),
            "registered": len(nodes),
            "pairs": {"compared": self.pair_count, "matched": len(self.matches), "refused_by_odometry": self.refused_pairs},
            "points": sum(len(fragment.points_map) for fragment in self.fragments),
            "reprojection_error_px": round(float(first.sfm.point_errors.mean()), 3) if len(first.sfm.point_errors) else None,
            "floor_rms_m": round(first.planarity_m, 4) if math.isfinite(first.planarity_m) else None,
            "edges": edges,
            "landmarks": len(landmarks),
            "landmark_extractor": "none" if self.extractor is None else self.extractor.name,
            "place_encoder": "none" if self.encoder is None else type(self.encoder).__name__,
            "stage_seconds": dict(self.clock.seconds),
            "versions": {"astra": __version__, "pycolmap": pycolmap.__version__, "opencv": cv2.__version__},
            "config": dataclasses.asdict(self.config),
        }
        return MapInfo(out.name, first.scale.source, first.scale.sigma, tuple(self._warnings(nodes)), build)

    def _warnings(self, nodes: Mapping[int, Node]) -> list[str]:
        warnings = []
        if any(len(tour.rig.cameras) > len(rig.cameras) for tour, rig in zip(self.tours, self.rigs)):
            warnings.append("it is not known where the cameras sit (no /tf_static): only the first camera was used")
        if len(nodes) < self.config.min_registered * len(self.keyframes):
            warnings.append(f"only {len(nodes)} of {len(self.keyframes)} keyframes could be placed")
        if len(self.fragments) > 1:
            sizes = ", ".join(str(len(fragment.map_from_base)) for fragment in self.fragments)
            warnings.append(f"the map has {len(self.fragments)} fragments of {sizes} nodes that no evidence joins")
        for number, fragment in enumerate(self.fragments):
            found = inconsistencies(fragment, self.keyframes, self.rigs, is_mounted(self.tours[0].rig), self.config.scale)
            warnings += [text if number == 0 else f"fragment {number}: {text}" for text in found]
        if is_mounted(self.tours[0].rig):
            warnings += floor_warnings(self.fragments[0].points_map, self.config.cloud)
        return warnings

    def _camera_names(self) -> dict[tuple[int, str], str]:
        """(tour, camera) → name in the map; tours that share a camera's name and model share it, else the tour's number is added."""
        names: dict[tuple[int, str], str] = {}
        given: dict[str, CameraModel] = {}
        for tour, rig in enumerate(self.rigs):
            for camera in rig.cameras:
                model = self._model(tour, camera.name)
                name = camera.name if given.get(camera.name, model) == model else f"{camera.name}_{tour}"
                given[name] = model
                names[tour, camera.name] = name
        return names

    def _cameras(self) -> dict[str, CameraModel]:
        return {name: self._model(*key) for key, name in self._camera_names().items()}

    def _model(self, tour: int, camera: str) -> CameraModel:
        """The camera's intrinsics, as the largest fragment refined them."""
        found = next((f.sfm.models[tour, camera] for f in self.fragments if (tour, camera) in f.sfm.models), None)
        return found or self.rigs[tour][camera].model

    def _focal_px(self) -> float:
        return float(np.median([model.fx for model in self._cameras().values()]))

    def _view_points(self) -> dict[int, Float32Array]:
        """View id → (N, 3) float32 [m, map] point of each feature, NaN where not triangulated."""
        out = {}
        for fragment in self.fragments:
            for view_id, rows in fragment.sfm.observations.items():
                points = np.full((len(rows), 3), np.nan, dtype=np.float32)
                points[rows >= 0] = fragment.points_map[rows[rows >= 0]]
                out[view_id] = points
        return out

    def _evidence(self, detections: Detections) -> list[ViewEvidence]:
        """What every registered view contributes to the landmarks."""
        row_of = {int(view_id): k for k, view_id in enumerate(self.views.ids)}
        points = self._view_points()
        poses = {view_id: pose for fragment in self.fragments for view_id, pose in fragment.map_from_cam.items()}
        return [
            ViewEvidence(
                view.id,
                keyframe.id,
                self._model(keyframe.tour, view.camera),
                poses[view.id],
                self.views.keypoints[self.views.rows(row_of[view.id])],
                points[view.id],
                tuple(detections.get(view.id, ())),
            )
            for keyframe in self.keyframes
            for view in keyframe.views
            if view.id in poses
        ]

    def _seen_points(self, nodes: Mapping[int, Node]) -> dict[int, frozenset[int]]:
        seen = {}
        for node in nodes.values():
            observations = self.fragments[node.fragment].sfm.observations
            rows = np.concatenate([observations[view.id] for view in node.views])
            seen[node.id] = frozenset(rows[rows >= 0].tolist())
        return seen

    def _map_features(self, nodes: Mapping[int, Node]) -> MapFeatures:
        """Features of the registered views, points numbered over all fragments."""
        first_point = np.cumsum([0] + [len(fragment.points_map) for fragment in self.fragments])
        fragment_of = {view.id: node.fragment for node in nodes.values() for view in node.views}
        kept = [k for k, view_id in enumerate(self.views.ids) if int(view_id) in fragment_of]
        points = self._view_points()
        rows = np.concatenate([np.arange(self.views.rows(k).start, self.views.rows(k).stop) for k in kept])
        ids = []
        for k in kept:
            view_id = int(self.views.ids[k])
            observed = self.fragments[fragment_of[view_id]].sfm.observations[view_id]
            ids.append(np.where(observed >= 0, observed + first_point[fragment_of[view_id]], -1))
        counts = [self.views.rows(k).stop - self.views.rows(k).start for k in kept]
        return MapFeatures(
            self.views.ids[kept],
            np.cumsum([0, *counts]).astype(np.int64),
            self.views.keypoints[rows],
            self.views.descriptors[rows],
            np.concatenate([points[int(self.views.ids[k])] for k in kept]),
            np.concatenate(ids).astype(np.int64),
            self.views.place[kept],
        )


def _check(tours: Sequence[Tour], out: Path) -> None:
    if not tours:
        raise BadInputError("a map needs at least one tour")
    if out.exists() and not (out / "map.yaml").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BadInputError(f"{out} exists and is not a map; choose another --out")


def _await(reading: Future[Detections], clock: StageClock) -> Detections:
    with clock.stage("reading"):
        return reading.result()


def forget_old_workspaces(keep: int) -> None:
    """Remove the work folders that were used longest ago, beyond the `keep` latest."""
    root = cache_dir() / "mapping"
    if not root.is_dir():
        return
    folders = sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: -p.stat().st_mtime)
    for old in folders[keep:]:
        with suppress(OSError):
            shutil.rmtree(old)


