"""The last centimetre of a join: bundle adjustment of the second map's nodes against what both maps see. The first map stays where it is.

  min Σ ρ(‖π(cam_from_base · base_from_map · p) − u‖²) over the poses of free nodes and all points p that a free node sees
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.types import IntArray
from astra.geometry import CameraModel, Pose3
from astra.mapping.bend import Bend
from astra.mapping.colmap import camera_sensor, colmap_camera, pose_from_rigid, rigid_from_pose
from astra.mapping.merged_features import view_rows
from astra.topomap import Node
from astra.topomap.features import MapFeatures

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JointConfig:
    """How long it may take, and when it is worth doing."""

    max_iterations: int = 20  # 0: not done at all
    loss_px: float = 1.0  # residuals beyond this count less and less (Cauchy)
    min_shared: int = 200  # observations by free nodes of points that fixed ones see; fewer hold nothing
    threads: int = 1

    def __post_init__(self) -> None:
        require(0 <= self.max_iterations <= 200, "max_iterations", self.max_iterations, "0 … 200")
        require(self.loss_px > 0.0, "loss_px", self.loss_px, "> 0")
        require(self.min_shared >= 8, "min_shared", self.min_shared, "≥ 8")
        require(1 <= self.threads <= 256, "threads", self.threads, "1 … 256")


def adjust(
    nodes: Mapping[int, Node], free: Collection[int], features: MapFeatures, cameras: Mapping[str, CameraModel], config: JointConfig
) -> dict[int, Pose3]:
    """New `map_from_base` of the free nodes; none where too little is shared or nothing was found.

    Args:
        nodes: one fragment of the merged map; those that are not `free` stay.
        features: of the merged map, points that both maps know counted once.
    """
    import pycolmap

    tracks = _tracks(nodes, free, features)
    if config.max_iterations == 0 or tracks.shared < config.min_shared:
        return {}
    model, refs = _model(nodes, features, cameras, tracks)
    problem = pycolmap.BundleAdjustmentConfig()
    for image_id in model.images:
        problem.add_image(image_id)
    for node_id in refs:
        if node_id not in free:
            problem.set_constant_rig_from_world_pose(node_id + 1)
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = options.refine_principal_point = options.refine_extra_params = options.refine_sensor_from_rig = False
    options.print_summary = False
    options.ceres.loss_function_type, options.ceres.loss_function_scale = pycolmap.LossFunctionType.CAUCHY, config.loss_px
    options.ceres.solver_options.max_num_iterations, options.ceres.solver_options.num_threads = config.max_iterations, config.threads
    summary = pycolmap.create_default_bundle_adjuster(options, problem, model).solve()
    if not summary.is_solution_usable():
        logger.warning("the joint adjustment found nothing")
        return {}
    moved = {k: pose_from_rigid(model.frames[k + 1].rig_from_world).inverse() @ ref_from_base for k, ref_from_base in refs.items() if k in free}
    return {k: pose for k, pose in moved.items() if np.isfinite(pose.matrix()).all()}


def followed(bend: Bend | None, rigid: Mapping[int, Pose3], adjusted: Mapping[int, Pose3], level: bool, max_shift: float) -> Bend | None:
    """The bend that takes nodes to their adjusted poses; the one there was if any went further than `max_shift`.

    Args:
        rigid: node id → pose before any bend. adjusted: those that were adjusted; the others keep their bend.
        level: nodes keep their height and tilt.
    """
    from scipy.spatial.transform import Rotation

    ids = np.array(sorted(rigid), dtype=np.int64)
    places = np.array([rigid[int(k)].translation for k in ids])
    turn, shift = (np.zeros_like(places), np.zeros_like(places)) if bend is None else (bend.turn.copy(), bend.shift.copy())
    for row, node_id in enumerate(ids.tolist()):
        if node_id in adjusted:
            pose, was = adjusted[node_id], rigid[node_id]
            turn[row] = Rotation.from_matrix(pose.rotation @ was.rotation.T).as_rotvec()
            shift[row] = pose.translation - was.translation
    if level:
        turn[:, :2] = shift[:, 2] = 0.0
    if len(ids) == 0 or float(np.linalg.norm(shift, axis=1).max()) > max_shift:
        return bend
    return Bend(ids, places, turn, shift)


@dataclass(frozen=True, slots=True, eq=False)
class _Tracks:
    """Rows of features (M,) that show points which a free node sees, sorted by point; `view` and `point` (M,) of each; how many tie both maps."""

    rows: IntArray
    view: IntArray
    point: IntArray
    shared: int


def _tracks(nodes: Mapping[int, Node], free: Collection[int], features: MapFeatures) -> _Tracks:
    node_of = {view.id: node.id for node in nodes.values() for view in node.views}
    of_view = np.repeat(np.asarray(features.view_ids), np.diff(features.offsets))
    ids = np.asarray(features.point_ids)
    known, mine = np.array(sorted(node_of), dtype=np.int64), np.array(sorted(v for v, k in node_of.items() if k in free), dtype=np.int64)
    used = (ids >= 0) & np.isin(of_view, known)
    is_free = used & np.isin(of_view, mine)
    used &= np.isin(ids, ids[is_free])
    tied = np.isin(ids, ids[used & ~is_free])
    rows = np.flatnonzero(used)
    rows = rows[np.argsort(ids[rows], kind="stable")]
    return _Tracks(rows, of_view[rows], ids[rows], int((is_free & tied).sum()))


def _model(nodes: Mapping[int, Node], features: MapFeatures, cameras: Mapping[str, CameraModel], tracks: _Tracks) -> tuple[Any, dict[int, Pose3]]:
    """COLMAP's model of what is adjusted, and ref_from_base of every node in it. Each node is a rigid frame with a rig of its own."""
    import pycolmap

    model, refs, seen = pycolmap.Reconstruction(), {}, set(np.unique(tracks.view).tolist())
    where, spans = {}, view_rows(features)
    for node in nodes.values():
        views = [view for view in node.views if view.id in seen]
        if not views:
            continue
        rig, frame = pycolmap.Rig(), pycolmap.Frame()
        rig.rig_id, frame.frame_id, frame.rig_id = node.id + 1, node.id + 1, node.id + 1
        map_from_ref = views[0].map_from_cam
        for view in views:  # COLMAP wants every sensor in one rig only: each view has a camera of its own, and all stay as they are
            model.add_camera(colmap_camera(cameras[view.camera], view.id + 1, calibrated=True))
            sensor = camera_sensor(view.id + 1)
            if view is views[0]:
                rig.add_ref_sensor(sensor)
            else:
                rig.add_sensor(sensor, rigid_from_pose(view.map_from_cam.inverse() @ map_from_ref))
            frame.add_data_id(pycolmap.data_t(sensor, view.id + 1))
        frame.rig_from_world = rigid_from_pose(map_from_ref.inverse())
        model.add_rig(rig)
        model.add_frame(frame)
        for view in views:
            pixels = np.asarray(features.keypoints[spans[view.id]], dtype=np.float64) + 0.5
            image = pycolmap.Image(name=str(view.id), keypoints=pixels, camera_id=view.id + 1, image_id=view.id + 1)
            image.frame_id = node.id + 1
            model.add_image(image)
            where[view.id] = spans[view.id].start
        model.register_frame(node.id + 1)
        refs[node.id] = map_from_ref.inverse() @ node.map_from_base
    starts = np.flatnonzero(np.diff(tracks.point, prepend=-1))
    for lo, hi in zip(starts, [*starts[1:], len(tracks.rows)]):
        if hi - lo < 2:
            continue
        elements = [pycolmap.TrackElement(int(v) + 1, int(r) - where[int(v)]) for v, r in zip(tracks.view[lo:hi], tracks.rows[lo:hi])]
        points = features.points_map[tracks.rows[lo:hi]].astype(np.float64)
        model.add_point3D(points.mean(axis=0), pycolmap.Track(elements))
    return model, refs
