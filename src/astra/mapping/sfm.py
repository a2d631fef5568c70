"""Stage 4: structure from motion with COLMAP on our own features and matches (paper 3.1.1).

A rig with known extrinsics enters as one rigid frame a keyframe, so that a camera which faces a blank wall is carried by the others.
COLMAP's pixel centres lie at +0.5; keypoints are shifted here, principal points in `colmap`.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import MappingError
from astra.core.types import FloatArray, IntArray
from astra.geometry import CameraModel, CameraRig, Pose2, Pose3, wrap_angle
from astra.mapping.colmap import camera_sensor, colmap_camera, model_from_colmap, pose_from_rigid, rigid_from_pose
from astra.mapping.features import ViewSet
from astra.mapping.keyframes import Keyframe
from astra.mapping.pairs import PairMatches

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SfmConfig:
    """Thresholds in angles, so that they hold for any resolution; COLMAP's own are made for photographs."""

    threads: int = 2
    seed: int = 1
    max_error_rad: float = 0.007  # of a match from its epipolar line, and of a point from its pixel
    min_error_px: float = 1.2  # below this the pixel grid itself is the noise
    min_inliers: int = 15  # of a verified pair
    max_trials: int = 1000  # of RANSAC for one pair; a pair that needs more is not worth its time
    min_pose_inliers: int = 20  # of a registered keyframe
    min_fragment: int = 5  # keyframes; smaller models are dropped
    global_ba_ratio: float = 1.35  # growth of the model between two global adjustments
    odometry_turn_rad: float = math.radians(12.0)  # a verified pair whose rotation departs further from odometry's is refused
    odometry_drift: float = 0.004  # rad per metre travelled between the pair, added to it

    def __post_init__(self) -> None:
        require(1 <= self.threads <= 256, "threads", self.threads, "1 … 256")
        require(self.seed >= 0, "seed", self.seed, "≥ 0")
        require(0.0 < self.max_error_rad < 0.1, "max_error_rad", self.max_error_rad, "in (0, 0.1)")
        require(self.min_error_px > 0.0, "min_error_px", self.min_error_px, "> 0")
        require(self.min_inliers >= 8, "min_inliers", self.min_inliers, "≥ 8")
        require(10 <= self.max_trials <= 100000, "max_trials", self.max_trials, "10 … 100000")
        require(self.min_pose_inliers >= 6, "min_pose_inliers", self.min_pose_inliers, "≥ 6")
        require(self.min_fragment >= 2, "min_fragment", self.min_fragment, "≥ 2")
        require(self.global_ba_ratio > 1.0, "global_ba_ratio", self.global_ba_ratio, "> 1")
        require(self.odometry_turn_rad > 0.0, "odometry_turn_rad", self.odometry_turn_rad, "> 0")
        require(self.odometry_drift >= 0.0, "odometry_drift", self.odometry_drift, "≥ 0")


@dataclass(frozen=True, slots=True, eq=False)
class SfmFragment:
    """One connected reconstruction in its own frame and units.

    sfm_from_ref: keyframe id → pose of the rig's first camera (optical axes), whether or not it took an image.
    sfm_from_cam: view id → pose. points: (P, 3). point_errors: (P,) mean reprojection error [px].
    observations: view id → (N,) int64, row of `points` for each of the view's features, −1 where none.
    models: (tour, camera name) → intrinsics after SfM.
    unit_m: length of one unit by the rig's extrinsics; NaN for a single camera.
    folder: where COLMAP's model of it lies.
    """

    sfm_from_ref: dict[int, Pose3]
    sfm_from_cam: dict[int, Pose3]
    points: FloatArray
    point_errors: FloatArray
    observations: dict[int, IntArray]
    models: dict[tuple[int, str], CameraModel]
    unit_m: float
    folder: Path


@dataclass(frozen=True, slots=True, eq=False)
class SfmInput:
    """What every SfM step reads: the keyframes, one rig a tour, whether its intrinsics may be refined, and the features."""

    keyframes: Sequence[Keyframe]
    rigs: Sequence[CameraRig]
    calibrated: Sequence[bool]
    views: ViewSet

    def camera_id(self, tour: int, camera: str) -> int:
        """COLMAP's id of a tour's camera."""
        return 1 + sum(len(rig.cameras) for rig in self.rigs[:tour]) + self.rigs[tour].names.index(camera)


def write_database(path: Path, source: SfmInput, matches: Sequence[PairMatches]) -> None:
    """Write cameras, rigs, frames, features and matches as a COLMAP database."""
    import pycolmap

    path.unlink(missing_ok=True)
    with pycolmap.Database.open(path) as database, pycolmap.DatabaseTransaction(database):
        for tour, rig in enumerate(source.rigs):
            _write_rig(database, source, tour, rig)
        row_of = {int(view_id): k for k, view_id in enumerate(source.views.ids)}
        for keyframe in source.keyframes:
            frame = pycolmap.Frame()
            frame.frame_id, frame.rig_id = keyframe.id + 1, keyframe.tour + 1
            for view in keyframe.views:
                frame.add_data_id(pycolmap.data_t(camera_sensor(source.camera_id(keyframe.tour, view.camera)), view.id + 1))
            database.write_frame(frame, use_frame_id=True)
            for view in keyframe.views:
                image = pycolmap.Image(name=view.image, camera_id=source.camera_id(keyframe.tour, view.camera), image_id=view.id + 1)
                image.frame_id = keyframe.id + 1
                database.write_image(image, use_image_id=True)
                database.write_keypoints(view.id + 1, source.views.keypoints[source.views.rows(row_of[view.id])] + np.float32(0.5))
        for pair in matches:
            database.write_matches(pair.a + 1, pair.b + 1, pair.rows.astype(np.uint32))


def verify(path: Path, source: SfmInput, config: SfmConfig) -> int:
    """Estimate every pair's two-view geometry and refuse those whose rotation contradicts odometry.

    Returns:
        How many pairs odometry refused.
    """
    import pycolmap

    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.max_error = _error_px(source, config)
    options.ransac.random_seed = config.seed
    options.ransac.max_num_trials = config.max_trials
    options.ransac.min_num_trials = 30
    options.ransac.confidence = 0.99
    options.ransac.dyn_num_trials_multiplier = 2.0
    options.min_num_inliers = config.min_inliers
    options.compute_relative_pose = True
    options.detect_watermark = False
    verifier = pycolmap.GeometricVerifierOptions()
    verifier.num_threads = config.threads
    pycolmap.geometric_verification(path, verifier_options=verifier, two_view_geometry_options=options)
    return _refuse_by_odometry(path, source, config)


def forget_pairs(path: Path, views: Iterable[tuple[int, int]]) -> None:
    """Delete what the database at `path` knows of these pairs of view ids."""
    import pycolmap

    with pycolmap.Database.open(path) as database:
        for a, b in views:
            database.delete_matches(a + 1, b + 1)
            database.delete_two_view_geometry(a + 1, b + 1)


def reconstruct(path: Path, sparse: Path, source: SfmInput, config: SfmConfig, tick: Callable[[], None] = lambda: None) -> None:
    """Incremental mapping from the database at `path`; models go to folders under `sparse`.

    A model starts from two images whose distance COLMAP takes as its unit, while a rig's extrinsics are in metres. Where odometry is
    known, the start is chosen here and the rig is written in its unit, so that both agree from the first keyframe on. A start that leads nowhere
    is followed by the next best.

    Raises:
        MappingError: no two images could be connected.
    """
    import pycolmap

    shutil.rmtree(sparse, ignore_errors=True)
    sparse.mkdir(parents=True)
    starts = initial_pairs(path, source) if any(len(rig.cameras) > 1 for rig in source.rigs) else []
    models: dict[int, Any] = {}
    for start in starts:
        _set_rig_unit(path, source, start.baseline_m)
        options = _options(source, config)
        options.init_image_id1, options.init_image_id2 = start.a + 1, start.b + 1
        options.init_num_trials = 1
        options.mapper.init_min_num_inliers = min(options.mapper.init_min_num_inliers, start.inliers // 2)
        options.mapper.init_min_tri_angle = 3.0
        models = pycolmap.incremental_mapping(path, path.parent, sparse, options=options, next_image_callback=tick)
        if models:
            break
    # COLMAP makes one model from a given start; the rest of the tour gets its own.
    left = _unregistered(models, source)
    if not models or (starts and len(left) >= config.min_fragment):
        again = _options(source, config)
        again.image_names = [view.image for keyframe in left for view in keyframe.views]
        (sparse / "rest").mkdir()
        models |= {-1 - k: m for k, m in pycolmap.incremental_mapping(path, path.parent, sparse / "rest", options=again).items()}
        for folder in sorted((sparse / "rest").iterdir()):
            folder.rename(sparse / f"rest-{folder.name}")
        (sparse / "rest").rmdir()
    if not models:
        raise MappingError("structure from motion connected no images: too few features, too little overlap, or no sideways motion")


@dataclass(frozen=True, slots=True)
class InitialPair:
    """Two views to start from, their distance by odometry, and how many matches agree."""

    a: int
    b: int
    baseline_m: float
    inliers: int


def initial_pairs(path: Path, source: SfmInput, most: int = 4) -> list[InitialPair]:
    """Verified pairs with many matches and parallax that odometry confirms, best first; none without odometry.

    Pairs that a plane explains come last: which of the two motions it allows is the true one is not known.
    """
    import pycolmap

    where = {view.id: (keyframe, view.camera) for keyframe in source.keyframes for view in keyframe.views}
    found: list[tuple[bool, float, InitialPair]] = []
    with pycolmap.Database.open(path) as database:
        for pair_id, geometry in zip(*database.read_two_view_geometries()):
            a, b = (int(i) - 1 for i in pycolmap.pair_id_to_image_pair(pair_id))
            expected = _by_odometry(source, *where[a], *where[b])
            if expected is None or geometry.cam2_from_cam1 is None or abs(where[a][0].id - where[b][0].id) > 5:
                continue
            baseline, motion = float(np.linalg.norm(expected.translation)), pose_from_rigid(geometry.cam2_from_cam1).translation
            agreement = float(expected.translation @ motion) / max(baseline * float(np.linalg.norm(motion)), 1e-9)
            if not 0.2 <= baseline <= 2.0 or agreement < math.cos(0.25):
                continue
            sideways = math.hypot(expected.translation[0], expected.translation[1])
            solid = int(geometry.config) == int(pycolmap.TwoViewGeometryConfiguration.CALIBRATED)
            inliers = len(geometry.inlier_matches)
            found.append((solid, inliers * min(sideways, 0.8), InitialPair(a, b, baseline, inliers)))
    found.sort(key=lambda entry: (-entry[0], -entry[1]))
    return [pair for _, _, pair in found[:most]]


def load_fragments(sparse: Path, source: SfmInput, config: SfmConfig) -> list[SfmFragment]:
    """The models under `sparse` as fragments, largest first; keyframes that two models claim go to the larger one.

    Raises:
        MappingError: none has `min_fragment` keyframes.
    """
    import pycolmap

    models = [(pycolmap.Reconstruction(str(folder)), folder) for folder in sorted(sparse.iterdir()) if folder.is_dir()]
    models.sort(key=lambda entry: -entry[0].num_reg_frames())
    taken: set[int] = set()
    fragments = []
    for model, folder in models:
        fragment = _fragment(model, folder, source, taken)
        if len(fragment.sfm_from_ref) >= min(config.min_fragment, max(2, len(source.keyframes) // 2)):
            fragments.append(fragment)
            taken |= set(fragment.sfm_from_ref)
    if not fragments:
        raise MappingError(f"structure from motion found no connected part of at least {config.min_fragment} keyframes")
    return fragments


def write_metric_model(fragment: SfmFragment, metres_per_unit: float, map_from_sfm: Pose3, out: Path) -> None:
    """Write COLMAP's model of a fragment in the map frame, metres, for tools that read COLMAP."""
    import pycolmap

    model = pycolmap.Reconstruction(str(fragment.folder))
    for frame_id in list(model.reg_frame_ids()):
        if int(frame_id) - 1 not in fragment.sfm_from_ref:  # the audit cut it off
            model.deregister_frame(frame_id)
    model.transform(pycolmap.Sim3d(metres_per_unit, pycolmap.Rotation3d(map_from_sfm.rotation), map_from_sfm.translation))
    out.mkdir(parents=True)
    model.write_binary(str(out))


def _write_rig(database: Any, source: SfmInput, tour: int, rig: CameraRig) -> None:
    import pycolmap

    colmap_rig = pycolmap.Rig()
    colmap_rig.rig_id = tour + 1
    reference = rig.cameras[0]
    for camera in rig.cameras:
        camera_id = source.camera_id(tour, camera.name)
        database.write_camera(colmap_camera(camera.model, camera_id, source.calibrated[tour]), use_camera_id=True)
        if camera is reference:
            colmap_rig.add_ref_sensor(camera_sensor(camera_id))
        else:
            colmap_rig.add_sensor(camera_sensor(camera_id), rigid_from_pose(camera.base_from_cam.inverse() @ reference.base_from_cam))
    database.write_rig(colmap_rig, use_rig_id=True)


def _error_px(source: SfmInput, config: SfmConfig) -> float:
    focal = float(np.median([camera.model.fx for rig in source.rigs for camera in rig.cameras]))
    return max(config.min_error_px, config.max_error_rad * focal)


def _refuse_by_odometry(path: Path, source: SfmInput, config: SfmConfig) -> int:
    """Delete two-view geometries that turn the robot by another angle than odometry saw."""
    import pycolmap

    where = {view.id: (keyframe, view.camera) for keyframe in source.keyframes for view in keyframe.views}
    travelled = _travelled(source.keyframes)
    refused = 0
    with pycolmap.Database.open(path) as database:
        pair_ids, geometries = database.read_two_view_geometries()
        for pair_id, geometry in zip(pair_ids, geometries):
            a, b = (int(i) - 1 for i in pycolmap.pair_id_to_image_pair(pair_id))
            (frame_a, camera_a), (frame_b, camera_b) = where[a], where[b]
            expected = _by_odometry(source, frame_a, camera_a, frame_b, camera_b)
            if expected is None or geometry.cam2_from_cam1 is None or len(geometry.inlier_matches) == 0:
                continue
            error = expected.angle_to(pose_from_rigid(geometry.cam2_from_cam1))
            if error > config.odometry_turn_rad + config.odometry_drift * abs(travelled[frame_a.id] - travelled[frame_b.id]):
                database.delete_two_view_geometry(a + 1, b + 1)
                refused += 1
    logger.info("odometry refused %d of %d pairs", refused, len(pair_ids))
    return refused


def _by_odometry(source: SfmInput, frame_a: Keyframe, camera_a: str, frame_b: Keyframe, camera_b: str) -> Pose3 | None:
    """camera b from camera a as odometry and the rig have it; None where odometry does not reach."""
    if frame_a.tour != frame_b.tour or frame_a.odom_from_base is None or frame_b.odom_from_base is None:
        return None
    rig = source.rigs[frame_a.tour]
    b_from_a = Pose3.from_pose2(frame_b.odom_from_base.inverse() @ frame_a.odom_from_base)
    return rig[camera_b].base_from_cam.inverse() @ b_from_a @ rig[camera_a].base_from_cam


def _set_rig_unit(path: Path, source: SfmInput, unit_m: float) -> None:
    """Write the rigs' extrinsics in units of `unit_m` metres."""
    import pycolmap

    with pycolmap.Database.open(path) as database:
        for colmap_rig in database.read_all_rigs():
            tour = colmap_rig.rig_id - 1
            reference, *others = source.rigs[tour].cameras
            for camera in others:
                cam_from_ref = camera.base_from_cam.inverse() @ reference.base_from_cam
                scaled = Pose3(cam_from_ref.rotation, cam_from_ref.translation / unit_m)
                colmap_rig.set_sensor_from_rig(camera_sensor(source.camera_id(tour, camera.name)), rigid_from_pose(scaled))
            database.update_rig(colmap_rig)


def _unregistered(models: Mapping[int, Any], source: SfmInput) -> list[Keyframe]:
    registered = {int(frame_id) - 1 for model in models.values() for frame_id in model.reg_frame_ids()}
    return [keyframe for keyframe in source.keyframes if keyframe.id not in registered]


def _travelled(keyframes: Sequence[Keyframe]) -> dict[int, float]:
    """Distance travelled up to each keyframe, turns counted as half a metre a radian because they cost heading."""
    out: dict[int, float] = {}
    total, last = 0.0, None
    for keyframe in keyframes:
        pose = keyframe.odom_from_base or Pose2()
        if last is not None:
            total += last.distance_to(pose) + 0.5 * abs(wrap_angle(pose.yaw - last.yaw))
        out[keyframe.id], last = total, pose
    return out


def _options(source: SfmInput, config: SfmConfig) -> Any:
    import pycolmap

    error_px = _error_px(source, config)
    calibrated = all(source.calibrated)
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = config.threads
    options.random_seed = config.seed
    options.min_model_size = config.min_fragment
    options.extract_colors = False
    options.ba_refine_focal_length = options.ba_refine_extra_params = not calibrated
    options.ba_refine_sensor_from_rig = False
    options.ba_min_num_residuals_for_cpu_multi_threading = 5000
    options.ba_global_frames_ratio = options.ba_global_points_ratio = config.global_ba_ratio
    options.ba_global_max_refinements = 3
    options.ba_local_max_refinements = 1
    options.constant_cameras = {
        source.camera_id(tour, name) for tour, rig in enumerate(source.rigs) if source.calibrated[tour] for name in rig.names
    }
    mapper = options.mapper
    mapper.num_threads = config.threads
    mapper.filter_max_reproj_error = error_px
    mapper.init_max_error = error_px
    mapper.abs_pose_max_error = 2.5 * error_px
    mapper.abs_pose_min_num_inliers = config.min_pose_inliers
    mapper.abs_pose_refine_focal_length = mapper.abs_pose_refine_extra_params = not calibrated
    mapper.constant_cameras = options.constant_cameras
    triangulation = options.triangulation
    triangulation.complete_max_reproj_error = triangulation.merge_max_reproj_error = error_px
    return options


def _fragment(model: Any, folder: Path, source: SfmInput, taken: set[int]) -> SfmFragment:
    keyframes = {keyframe.id: keyframe for keyframe in source.keyframes}
    point_ids = np.array(sorted(model.point3D_ids()), dtype=np.int64)
    points = np.array([model.points3D[int(i)].xyz for i in point_ids]).reshape(-1, 3)
    errors = np.array([model.points3D[int(i)].error for i in point_ids])
    models = {
        (tour, camera.name): model_from_colmap(model.cameras[source.camera_id(tour, camera.name)], camera.model)
        for tour, rig in enumerate(source.rigs)
        for camera in rig.cameras
        if source.camera_id(tour, camera.name) in model.cameras
    }
    from_ref: dict[int, Pose3] = {}
    from_cam: dict[int, Pose3] = {}
    observations: dict[int, IntArray] = {}
    for frame_id in model.reg_frame_ids():
        keyframe = keyframes[int(frame_id) - 1]
        if keyframe.id in taken:
            continue
        from_ref[keyframe.id] = pose_from_rigid(model.frames[frame_id].rig_from_world).inverse()
        for view in keyframe.views:
            image = model.images[view.id + 1]
            from_cam[view.id] = pose_from_rigid(image.cam_from_world()).inverse()
            rows = np.full(len(image.points2D), -1, dtype=np.int64)
            for index, point in enumerate(image.points2D):
                if point.has_point3D():
                    rows[index] = np.searchsorted(point_ids, int(point.point3D_id))
            observations[view.id] = rows
    return SfmFragment(from_ref, from_cam, points, errors, observations, models, _unit_m(model, source), folder)


def _unit_m(model: Any, source: SfmInput) -> float:
    """Metres per unit by comparing the model's rigs with the given ones; COLMAP rescales rigs with the model."""
    ratios = []
    for tour, rig in enumerate(source.rigs):
        if tour + 1 not in model.rigs:
            continue
        for camera in rig.cameras[1:]:
            given = camera.base_from_cam.inverse() @ rig.cameras[0].base_from_cam
            found = model.rigs[tour + 1].sensor_from_rig(camera_sensor(source.camera_id(tour, camera.name)))
            length = float(np.linalg.norm(given.translation))
            if found is not None and length > 0.01:
                ratios.append(length / max(float(np.linalg.norm(found.translation)), 1e-12))
    return float(np.median(ratios)) if ratios else math.nan
