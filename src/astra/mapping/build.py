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

from astra.core.config import require
from astra.core.errors import BadInputError, MappingError
from astra.core.paths import cache_dir
from astra.geometry import CameraRig
from astra.mapping.assemble import Reconstruction
from astra.mapping.association import associate
from astra.mapping.audit import AuditConfig, Audited, AuditInput, audit
from astra.mapping.audit.evidence import read_verified_pairs
from astra.mapping.bridges import BridgeConfig, bridge
from astra.mapping.calibration import CalibrationConfig, check_focal_lengths, load_refined, save_refined
from astra.mapping.cloud import CloudConfig, thin_cloud, write_cloud
from astra.mapping.clues import MetricClues, check_distances
from astra.mapping.colmap import silence_colmap
from astra.mapping.covisibility import extend_covisibility, landmark_ids_by_node
from astra.mapping.detections import Detections, detect_landmarks, load_detections, save_detections
from astra.mapping.features import PlaceEncoder, ViewSet, extract_features, load_views, save_views
from astra.mapping.graph import GraphConfig, build_edges, build_nodes, position_sigmas
from astra.mapping.inertial import imu_tracks
from astra.mapping.keyframes import Keyframe, KeyframeConfig, KeyView
from astra.mapping.landmarks import LandmarkConfig, LandmarkExtractor
from astra.mapping.metric import MetricFragment, at_tour_start, place_by_odometry, to_metric
from astra.mapping.occupancy import Occupancy, OccupancyConfig, build_occupancy, refined_trajectory, stretches, write_nav2_map
from astra.mapping.pairs import PairConfig, PairMatches, choose_pairs, load_matches, match_pairs, save_matches
from astra.mapping.parallel import Workers
from astra.mapping.progress import Progress, Quiet, StageClock
from astra.mapping.scale import UNKNOWN_SOURCE, UNKNOWN_UNIT, ScaleConfig
from astra.mapping.sfm import SfmConfig, SfmInput, forget_pairs, load_fragments, reconstruct, verify, write_database, write_metric_model
from astra.mapping.sparse_occupancy import SparseConfig, grid_without_scans
from astra.mapping.store import StoreConfig, slim_image, slimmed
from astra.mapping.summary import counts, scale_witnesses, versions, warnings
from astra.mapping.tour import Tour, base_from_sensor, is_calibrated, is_mounted, usable_rig
from astra.mapping.tours import read_tours
from astra.mapping.workspace import Workspace, full_disk_named
from astra.perception.local import LocalFeatureConfig
from astra.topomap import Landmark, MapInfo, Node, TopoMap
from astra.topomap.io import save_map

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MappingConfig:
    """One configuration a stage; the map records them all."""

    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    local: LocalFeatureConfig = field(default_factory=LocalFeatureConfig)
    pairs: PairConfig = field(default_factory=PairConfig)
    sfm: SfmConfig = field(default_factory=SfmConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    bridges: BridgeConfig = field(default_factory=BridgeConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    occupancy: OccupancyConfig = field(default_factory=OccupancyConfig)
    sparse_occupancy: SparseConfig = field(default_factory=SparseConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)
    cloud: CloudConfig = field(default_factory=CloudConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    threads: int = 2
    min_registered: float = 0.8  # share of the keyframes below which the map warns
    max_read_images: int = 800  # that the landmark extractor sees at most; those near others that showed something come first

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
    clues: MetricClues | None = None,
    workers: Workers | None = None,
) -> MapInfo:
    """Build the map of one or several tours of the same building and write it to `out`.

    Args:
        extractor: finds landmarks in images; None makes a map without landmarks.
        place_encoder: describes images for retrieval; None makes a map without place descriptors and finds no loops by sight.
        clues: lengths that the user knows.
        workers: other processes that read tours, describe, compare and read images; the map is the same without.

    Raises:
        MappingError: no map can be built from these images; `out` stays as it was.
        BadInputError: no tour was given, or `out` is something else than a map.
    """
    config = config or MappingConfig()
    _check(tours, out)
    silence_colmap()
    clock = StageClock(progress or Quiet())
    build = _Build(tours, [usable_rig(tour.rig) for tour in tours], config, extractor, place_encoder, clock, clues or MetricClues(), workers)
    with full_disk_named(out, cache_dir() / "mapping", out.parent), ThreadPoolExecutor(1) as beside:
        build.select_keyframes()
        check_distances(build.clues, build.keyframes)
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
    clues: MetricClues
    workers: Workers | None
    keyframes: list[Keyframe] = field(default_factory=list)
    fragments: list[MetricFragment] = field(default_factory=list)
    audited: Audited | None = None
    occupancy: Occupancy | None = None
    refused_pairs: int = 0
    pair_count: int = 0
    cancelled: bool = False
    notes: list[str] = field(default_factory=list)  # what of the tours was damaged or left out
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
                self.keyframes = read_tours(self.tours, scratch, self.config.keyframes, tick, self.notes.append, self.workers)
            self.work = Workspace(root, scratch, self.keyframes, self.rigs)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def read_landmarks(self) -> Detections:
        extractor = self.extractor
        if extractor is None:
            return {}
        keyframes, most = self.keyframes, self.config.max_read_images
        path = self.work.path("detections", ".json", extractor.name, most)
        return self.work.file(
            path,
            lambda: detect_landmarks(keyframes, self.work.images, extractor, most, self._count_reading, self.workers),
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
                lambda: extract_features(views, self.work.images, config.local, self.encoder, config.threads, tick, self.workers),
                save_views,
                load_views,
            )
        if len(self.views.keypoints) < 8 * len(views):
            counts = np.diff(self.views.offsets)
            barest = ", ".join(views[int(k)].image for k in np.argsort(counts, kind="stable")[:3])
            raise MappingError(f"the images show next to nothing: {counts.mean():.1f} features an image, the fewest in {barest}")

    def match(self) -> None:
        config = self.config
        pairs = choose_pairs(self.keyframes, self.rigs, self.views, config.pairs)
        self.pair_count = len(pairs)
        path = self.work.path("matches", ".npz", config.local, config.pairs, type(self.encoder).__name__)
        with self.clock.stage("matching", len(pairs)) as tick:
            self.matches = self.work.file(
                path, lambda: match_pairs(pairs, self.views, config.local, config.threads, tick, workers=self.workers), save_matches, load_matches
            )
        if not self.matches:
            first, last = self.key_views[0].image, self.key_views[-1].image
            raise MappingError(f"no two of the images {first} … {last} show the same thing: is this one tour of one place, in order?")

    def reconstruct(self) -> None:
        """Structure from motion and its audit; again without the loops that hold what is broken, while that mends more than it breaks."""
        config = self.config
        source = SfmInput(self.keyframes, self.rigs, [is_calibrated(tour) for tour in self.tours], self.views)
        first = self._run_sfm(source, None, frozenset())
        self._check_calibration(source, first)
        self.refused_pairs = int(json.loads((first / "refused.json").read_text()))
        audited, without = self._audit(source, first, first), frozenset[tuple[int, int]]()
        for _ in range(config.audit.max_reruns):
            if audited.refused <= without:
                break
            without |= audited.refused
            again = self._audit(source, self._run_sfm(source, first, without), first)
            if again.score <= audited.score:
                break
            audited = again
        self.audited = audited

    def _run_sfm(self, source: SfmInput, verified: Path | None, without: frozenset[tuple[int, int]]) -> Path:
        """The folder of one reconstruction; pairs of an earlier one's folder are taken over except for those it shall do without."""
        config = self.config
        recipe = [config.local, config.pairs, config.sfm, type(self.encoder).__name__, list(source.calibrated)]
        path = self.work.path("sfm", "", *recipe, *([sorted(without)] if without else []))

        def run(scratch: Path) -> None:
            database = scratch / "database.db"
            if verified is None:
                with self.clock.stage("verifying"):
                    write_database(database, source, self.matches)
                    refused = verify(database, source, config.sfm)
                (scratch / "refused.json").write_text(json.dumps(refused))
            else:
                shutil.copyfile(verified / "database.db", database)
                forget_pairs(database, without)
            with self.clock.stage("sfm", len(self.keyframes)) as tick:
                reconstruct(database, scratch / "sparse", source, config.sfm, lambda: tick(1))

        return self.work.folder(path, run)

    def _check_calibration(self, source: SfmInput, first: Path) -> None:
        """Note the cameras whose given focal length does not fit their images."""
        config = self.config
        with self.clock.stage("focal"):
            refined = self.work.file(
                self.work.path("focal", ".json", first.name, config.calibration, list(source.calibrated)),
                lambda: check_focal_lengths(first / "sparse", source, config.calibration, config.threads),
                save_refined,
                load_refined,
            )
        names = {source.camera_id(tour, name): name for tour, rig in enumerate(self.rigs) for name in rig.names}
        self.notes += [entry.sentence(names[entry.camera_id]) for entry in refined]

    def _audit(self, source: SfmInput, folder: Path, verified: Path) -> Audited:
        """Judge the reconstruction in `folder` by all verified pairs."""
        with self.clock.stage("audit"):
            fragments = load_fragments(folder / "sparse", source, self.config.sfm)
            models = {(tour, camera.name): camera.model for tour, rig in enumerate(self.rigs) for camera in rig.cameras}
            for fragment in reversed(fragments):
                models |= fragment.models
            pairs = read_verified_pairs(verified / "database.db", self.keyframes, self.views, models)
            given = AuditInput(self.keyframes, self.rigs, is_mounted(self.tours[0].rig), pairs, self.views, models, self.config.scale, self.clues)
            return audit(fragments, given, self.config.audit)

    def make_metric(self) -> None:
        assert self.audited is not None
        mounted = is_mounted(self.tours[0].rig)
        clues = dataclasses.replace(self.clues, imu=imu_tracks(self.tours))
        metric = [to_metric(fragment, self.keyframes, self.rigs, mounted, self.config.scale, clues) for fragment in self.audited.fragments]
        bridged = bridge(metric, self.keyframes, self.audited.report, self.config.bridges)
        metric = bridged.fragments
        sigmas = {k: math.hypot(self.audited.drift_sigmas.get(k, 0.0), sigma) for k, sigma in bridged.sigmas.items()}
        self.audited = dataclasses.replace(self.audited, report=bridged.report, drift_sigmas={**self.audited.drift_sigmas, **sigmas})
        first = next(k for k in self.keyframes if k.id == min(metric[0].map_from_base))
        anchor = at_tour_start(metric[0], self.keyframes, self.tours[first.tour].odometry)
        self.fragments = [anchor, *(place_by_odometry(fragment, anchor, self.keyframes) for fragment in metric[1:])]

    def scan_occupancy(self) -> None:
        planar = {k: pose.pose2() for k, pose in self.fragments[0].map_from_base.items()}
        others = {k for fragment in self.fragments[1:] for k in fragment.map_from_base}
        with self.clock.stage("occupancy"):
            tracks = []
            for index, tour in enumerate(self.tours):
                scans = tour.scans()
                mine = [k for k in self.keyframes if k.tour == index]
                if not len(scans) or tour.odometry is None or not any(k.id in planar for k in mine):
                    continue
                mounts = {frame: base_from_sensor(tour, frame).pose2() for frame in {scan.frame for scan in scans}}
                here = np.array([k.stamp_ns for k in mine if k.id in planar], dtype=np.int64)
                elsewhere = np.array([k.stamp_ns for k in mine if k.id in others], dtype=np.int64)
                track = refined_trajectory(mine, planar, tour.odometry)
                tracks += [(part, seen, mounts) for part, seen in stretches(track, scans, here, elsewhere)]
            self.occupancy = build_occupancy(tracks, self.config.occupancy)

    def reconstruction(self) -> Reconstruction:
        """What the stages so far have found."""
        return Reconstruction(self.rigs, self.keyframes, self.views, self.fragments, self.occupancy)

    def connect(self, detections: Detections) -> tuple[dict[int, Node], tuple[Landmark, ...]]:
        """Nodes and landmarks, each listing the other."""
        found = self.reconstruction()
        sigmas: dict[int, float] = {}
        for fragment in self.fragments:
            sigmas |= position_sigmas(fragment, self.keyframes, found.focal_px())
        drift = {} if self.audited is None else self.audited.drift_sigmas
        sigmas = {k: math.hypot(sigma, drift.get(k, 0.0)) for k, sigma in sigmas.items()}
        nodes = build_nodes(self.fragments, self.keyframes, found.camera_names(), sigmas)
        with self.clock.stage("landmarks"):
            evidence = found.evidence(detections)
            landmarks = extend_covisibility(associate(evidence, self.config.landmarks), evidence)
        seen_at = landmark_ids_by_node(landmarks)
        nodes = {k: dataclasses.replace(node, landmark_ids=seen_at.get(k, ())) for k, node in nodes.items()}
        return nodes, tuple(landmarks)

    def write(self, nodes: dict[int, Node], landmarks: Sequence[Landmark], out: Path) -> MapInfo:
        found = self.reconstruction()
        with self.clock.stage("writing"):
            metre = UNKNOWN_UNIT if self.fragments[0].scale.source == UNKNOWN_SOURCE else 1.0
            points = {number: fragment.points_map for number, fragment in enumerate(self.fragments)}
            edges = build_edges(nodes, self.keyframes, found.seen_points(nodes), self.occupancy, self.config.graph, points, metre)
            info = self._info(found, nodes, landmarks, len(edges), out.name)
            topo = TopoMap(info, found.cameras(), nodes, edges, {mark.id: mark for mark in landmarks})
            with tempfile.TemporaryDirectory(prefix=".extras.", dir=self.work.root) as scratch:
                extras, store = Path(scratch) / "extras", self.config.store
                extras.mkdir()
                models = [part for fragment in self.fragments for part in (fragment.joined_from or (fragment,))]
                for number, fragment in enumerate(models if store.model else ()):
                    write_metric_model(fragment.sfm, fragment.scale.metres_per_unit, fragment.map_from_sfm, extras / "sfm" / str(number))
                write_cloud(thin_cloud(self.fragments[0].points_map, self.config.cloud), extras / "cloud.ply")
                grid = self.occupancy or grid_without_scans(found, self.tours, self.config.sparse_occupancy, self.config.occupancy)
                if grid is not None:
                    write_nav2_map(grid, extras / "nav2")
                names = [view.image for node in nodes.values() for view in node.views]
                images = {name: slim_image(self.work.images / Path(name).name, Path(scratch), store) for name in names}
                save_map(topo, slimmed(found.map_features(nodes), store), images, out, {p.name: p for p in extras.iterdir()})
        return info

    def _info(self, found: Reconstruction, nodes: Mapping[int, Node], landmarks: Sequence[Landmark], edges: int, name: str) -> MapInfo:
        first = self.fragments[0]
        build: dict[str, object] = {
            "tours": [tour.name for tour in self.tours],
            "pairs": {"compared": self.pair_count, "matched": len(self.matches), "refused_by_odometry": self.refused_pairs},
            **counts(found, nodes),
            "edges": edges,
            "landmarks": len(landmarks),
            "landmark_extractor": "none" if self.extractor is None else self.extractor.name,
            "place_encoder": "none" if self.encoder is None else type(self.encoder).__name__,
            "stage_seconds": dict(self.clock.seconds),
            "versions": versions(),
            "config": dataclasses.asdict(self.config),
        }
        texts = (*self.notes, *warnings(found, nodes, self.tours, self.config.min_registered, self.config.scale, self.config.cloud))
        report = None if self.audited is None else self.audited.report
        up = first.up
        return MapInfo(
            name,
            first.scale.source,
            first.scale.sigma,
            texts,
            build,
            audit=report,
            scale_witnesses=scale_witnesses(first.scale),
            up_source="unknown" if up is None else up.source,
            up_sigma_rad=math.nan if up is None else up.sigma_rad,
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
