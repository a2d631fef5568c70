"""Whether the focal length that came with a camera fits its images; a calibration can be another camera's, or of another resolution.

Structure from motion holds given intrinsics fixed and bends the map to fit them. Afterwards one bundle adjustment frees the focal lengths: where
that lowers the reprojection error clearly, the map warns. It is not made again with the lengths found: a short walk determines them by tens of
per cent only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from astra.core.config import require
from astra.mapping.colmap import adjust_bundle
from astra.mapping.sfm import SfmInput

logger = logging.getLogger(__name__)
MIN_POINTS = 100  # fewer cannot judge a camera


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """When given intrinsics are doubted."""

    check: bool = True
    min_gain: float = 0.1  # the root mean square reprojection error must fall by this share; a straight drive lets it fall by little for any length
    min_change: float = 0.015  # and the focal length must move by this share
    max_change: float = 0.6  # more is no focal length but a broken model
    loss_px: float = 0.7  # residuals beyond it weigh less (Cauchy)
    first_steps: int = 5  # of the adjustment that decides whether there is anything to find
    max_iterations: int = 30

    def __post_init__(self) -> None:
        require(0.0 <= self.min_gain < 1.0, "min_gain", self.min_gain, "in [0, 1)")
        require(0.0 <= self.min_change < self.max_change, "min_change", self.min_change, "≥ 0, < max_change")
        require(self.loss_px > 0.0, "loss_px", self.loss_px, "> 0")
        require(self.first_steps >= 1, "first_steps", self.first_steps, "≥ 1")
        require(self.max_iterations >= 1, "max_iterations", self.max_iterations, "≥ 1")


@dataclass(frozen=True, slots=True)
class RefinedFocal:
    """A camera (COLMAP's id) whose focal length the images contradict, in pixels; `gain` is the share by which the error fell."""

    camera_id: int
    given_px: float
    found_px: float
    gain: float

    def sentence(self, camera: str) -> str:
        """For the map's user."""
        return (
            f"the focal length given for camera {camera}, {self.given_px:.0f} px, does not fit its images: about {self.found_px:.0f} px would "
            f"(reprojection error {100.0 * self.gain:.0f} % lower); the map is bent accordingly: calibrate the camera again"
        )

    @property
    def change(self) -> float:
        """Relative change of the focal length."""
        return self.found_px / self.given_px - 1.0


def check_focal_lengths(sparse: Path, source: SfmInput, config: CalibrationConfig, threads: int = 1) -> list[RefinedFocal]:
    """Free the focal lengths of the largest model under `sparse`, which stays as it is on disk.

    Returns:
        The calibrated cameras whose images contradict them; empty where the given intrinsics fit.
    """
    import pycolmap

    fixed = {source.camera_id(tour, name) for tour, rig in enumerate(source.rigs) if source.calibrated[tour] for name in rig.names}
    models = [pycolmap.Reconstruction(str(folder)) for folder in sorted(sparse.iterdir()) if folder.is_dir()]
    if not config.check or not fixed or not models:
        return []
    model = max(models, key=lambda m: int(m.num_reg_frames()))
    given = {i: _focal_px(camera) for i, camera in model.cameras.items() if i in fixed}
    if not given or model.num_points3D() < MIN_POINTS:
        return []
    before = _error_px(model)
    # A right calibration shows after a few steps that it has nowhere to go; only a wrong one is worth the whole way.
    adjust_bundle(model, _options(config, config.first_steps, threads))
    if all(abs(_focal_px(model.cameras[i]) / focal - 1.0) < config.min_change / 3.0 for i, focal in given.items()):
        return []
    adjust_bundle(model, _options(config, config.max_iterations, threads))
    gain = 1.0 - _error_px(model) / before if before > 0.0 else 0.0
    found = [RefinedFocal(i, focal, _focal_px(model.cameras[i]), gain) for i, focal in given.items()]
    logger.info("free focal lengths: %s", found)
    return [entry for entry in found if config.min_change <= abs(entry.change) <= config.max_change and gain >= config.min_gain]


def save_refined(path: Path, refined: Sequence[RefinedFocal]) -> None:
    """Write beside the models."""
    path.write_text(json.dumps([asdict(entry) for entry in refined]), encoding="utf-8")


def load_refined(path: Path) -> list[RefinedFocal]:
    """Read what `save_refined` wrote; none where it was not written."""
    return [RefinedFocal(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def _options(config: CalibrationConfig, steps: int, threads: int) -> Any:
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length, options.refine_extra_params, options.refine_principal_point = True, False, False
    options.refine_sensor_from_rig = options.print_summary = False
    options.ceres.loss_function_type, options.ceres.loss_function_scale = pycolmap.LossFunctionType.CAUCHY, config.loss_px
    solver = options.ceres.solver_options
    solver.max_num_iterations, solver.function_tolerance, solver.num_threads = steps, 1e-6, threads
    return options


def _focal_px(camera: Any) -> float:
    return float(camera.mean_focal_length())


def _error_px(model: Any) -> float:
    """Root mean square over the points of their mean reprojection errors, weighted by their observations."""
    model.update_point_3d_errors()
    points = model.points3D.values()
    errors = [(point.error**2 * point.track.length(), point.track.length()) for point in points]
    return float((sum(e for e, _ in errors) / max(sum(n for _, n in errors), 1)) ** 0.5)
