"""Structure from motion as COLMAP does it out of the box: what a world, or our own mapping, is measured against."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from astra.core.errors import AstraError
from astra.core.types import FloatArray, UInt8Array
from astra.evaluation.alignment import trajectory_error_m
from astra.geometry import CameraModel

FEATURES, OVERLAP = 2048, 10


@dataclass(frozen=True, slots=True)
class PlainSfmResult:
    """How far the largest model is from truth after a similarity; images that it leaves out are `total - registered`."""

    ate_m: float
    largest_error_m: float
    registered: int
    total: int
    models: int
    length_m: float
    cpu_s: float


def plain_sfm(images: Sequence[UInt8Array], centres: FloatArray, camera: CameraModel, threads: int = 2) -> PlainSfmResult:
    """Reconstruct a walk from one camera's images by sequential matching and compare it with the truth.

    Args:
        images: (H, W, 3) uint8 RGB, in the order in which they were taken.
        centres: (N, 3) true camera centres [m]; used for nothing but the error.
        camera: its intrinsics.
        threads: of COLMAP.

    Raises:
        AstraError: nothing could be reconstructed.
    """
    import pycolmap

    began = sum(os.times()[:4])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "images").mkdir()
        for i, image in enumerate(images):
            cv2.imwrite(str(root / "images" / f"{i:05d}.png"), image[..., ::-1])
        params = f"{camera.fx},{camera.fy},{camera.cx + 0.5},{camera.cy + 0.5}"
        reader = pycolmap.ImageReaderOptions(camera_model="PINHOLE", camera_params=params)
        extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
        for options in (extraction, matching):
            options.use_gpu, options.num_threads = False, threads
        extraction.sift.max_num_features = FEATURES
        pairing = pycolmap.SequentialPairingOptions()
        pairing.overlap, pairing.quadratic_overlap, pairing.loop_detection = OVERLAP, True, False
        mapping = pycolmap.IncrementalPipelineOptions()
        mapping.num_threads, mapping.ba_refine_focal_length, mapping.ba_refine_extra_params = threads, False, False
        database, single, cpu = root / "database.db", pycolmap.CameraMode.SINGLE, pycolmap.Device.cpu
        pycolmap.extract_features(database, root / "images", camera_mode=single, reader_options=reader, extraction_options=extraction, device=cpu)
        pycolmap.match_sequential(database, pairing_options=pairing, matching_options=matching, device=cpu)
        models = pycolmap.incremental_mapping(database, root / "images", root, options=mapping)
        if not models:
            raise AstraError(f"no model could be made of {len(images)} images")
        best = max(models.values(), key=lambda model: model.num_reg_images())
        found = {int(Path(image.name).stem): image.projection_center() for image in best.images.values() if image.has_pose}
    rows = sorted(found)
    errors = trajectory_error_m(np.array([found[i] for i in rows]), centres[rows])
    length = float(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum())
    return PlainSfmResult(
        float(np.sqrt((errors**2).mean())), float(errors.max()), len(rows), len(images), len(models), length, sum(os.times()[:4]) - began
    )
