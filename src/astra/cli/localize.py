"""`astra localize MAP IMAGE…`: where were these images taken?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astra.core.errors import BadInputError

if TYPE_CHECKING:
    from astra.core.types import UInt8Array
    from astra.geometry import CameraModel, Pose3
    from astra.global_model.backends.protocol import GlobalBackend
    from astra.global_model.types import Evidence, LocalizationResult
    from astra.topomap.types import TopoMap

EXAMPLES = """examples:
  astra localize maps/office photo.jpg --camera phone.yaml --out where.jsonl
  astra localize maps/office queries/ --out where.jsonl        every image of a folder, taken by the map's own camera

One JSON record an image: status (localized, coarse or lost), confidence, map_from_cam (OpenCV axes), covariance, the evidence and the time taken.
Only `localized` carries a pose; `coarse` knows the place (candidate_nodes), `lost` knows nothing. The exit code is 0 whatever the answer.
"""
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
BACKENDS = ("embedded", "qwen2_5_vl", "server")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra localize`."""
    parser.epilog = EXAMPLES
    parser.add_argument("map", type=Path, help="map folder")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files, or folders of them")
    parser.add_argument("--camera", type=Path, help="camera.yaml of the images (default: the map's own camera, if it has one of their size)")
    parser.add_argument("--backend", choices=BACKENDS, default="embedded", help="who reads landmarks and ranks places (default: embedded)")
    parser.add_argument("--backend-config", type=Path, metavar="FILE", help="YAML with the backends' settings (docs/PROMPTS.md)")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Localize every image and write the records, all of them or none."""
    from tqdm import tqdm

    from astra.core.paths import atomic_write
    from astra.geometry import CameraModel
    from astra.global_model.localizer import GlobalLocalizer
    from astra.global_model.types import Query

    paths = image_paths(args.images)
    given = CameraModel.load(args.camera) if args.camera else None
    localizer = GlobalLocalizer(args.map, backend=backend_from_args(args))
    lines, counts = [], {"localized": 0, "coarse": 0, "lost": 0}
    for path in tqdm(paths, desc="localize", unit="image", disable=not sys.stderr.isatty()):
        rgb = read_image(path)
        query = Query.from_image(rgb, given or camera_of_map(localizer.loaded.map, rgb, path), str(path))
        result = localizer.localize(query)
        counts[result.status.value] += 1
        lines.append(json.dumps(record(str(path), result)))
    atomic_write(args.out, "".join(f"{line}\n" for line in lines))
    print(f"{counts['localized']} localized, {counts['coarse']} coarse, {counts['lost']} lost → {args.out}")
    return 0


def backend_from_args(args: argparse.Namespace) -> GlobalBackend:
    """The backend that --backend and --backend-config name."""
    from dataclasses import replace

    from astra.core.config import load_config
    from astra.global_model.backends.select import BackendConfig, make_backend

    return make_backend(replace(load_config(BackendConfig, args.backend_config), name=args.backend))


def record(image: str, result: LocalizationResult) -> dict[str, Any]:
    """The record of one image."""
    from astra.geometry import BODY_FROM_OPTICAL

    pose, claim = (None if p is None else p @ BODY_FROM_OPTICAL for p in (result.map_from_base, result.claimed_map_from_base))
    return {
        "image": image,
        "status": result.status.value,
        "confidence": round(float(result.confidence), 4),
        "map_from_cam": _pose(pose),
        "claimed_map_from_cam": _pose(claim),
        "covariance": None if result.covariance is None else result.covariance.tolist(),
        "candidate_nodes": [int(i) for i in result.candidate_nodes],
        "matched_landmarks": [_evidence(e) for e in result.matched_landmarks],
        "rejected_landmarks": [{"landmark_id": e.landmark_id, "why": e.why} for e in result.rejected_landmarks],
        "inliers": int(result.inliers),
        "reason": result.reason,
        "time_s": {
            "coarse": round(result.times.coarse_s, 4),
            "consistency": round(result.times.consistency_s, 4),
            "fine": round(result.times.fine_s, 4),
            "total": round(result.times.total_s, 4),
        },
    }


def _pose(pose: Pose3 | None) -> dict[str, Any] | None:
    return None if pose is None else {"translation_m": pose.translation.tolist(), "rotation_xyzw": pose.quaternion_xyzw().tolist()}


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return {"landmark_id": evidence.landmark_id, "detected": evidence.detected, "why": evidence.why}


def image_paths(given: Sequence[Path]) -> list[Path]:
    """The files given, folders replaced by the images in them in order of name.

    Raises:
        BadInputError: a path does not exist, or a folder holds no image.
    """
    paths: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise BadInputError(f"{path} holds no images ({', '.join(SUFFIXES)})")
            paths.extend(inside)
        elif path.is_file():
            paths.append(path)
        else:
            raise BadInputError(f"image {path} does not exist")
    return paths


def read_image(path: Path) -> UInt8Array:
    """An image file as (H, W, 3) uint8 RGB, as stored: calibrations know nothing of EXIF's orientation.

    Raises:
        BadInputError: it cannot be read.
    """
    import cv2
    import numpy as np

    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise BadInputError(f"cannot read image {path}: {error.strerror or error}") from error
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(data, flags) if len(data) else None
    if image is None:
        raise BadInputError(f"{path} is not an image that can be read")
    rgb: UInt8Array = np.ascontiguousarray(image[:, :, ::-1])
    return rgb


def camera_of_map(topomap: TopoMap, rgb: UInt8Array, path: Path) -> CameraModel:
    """The map's camera that takes images of this size, if all such cameras are alike.

    Raises:
        BadInputError: there is none, or they differ.
    """
    height, width = rgb.shape[:2]
    fitting = {model for model in topomap.cameras.values() if (model.width, model.height) == (width, height)}
    if len(fitting) == 1:
        return fitting.pop()
    why = "which differ in their calibration" if fitting else f"and the map's cameras take {_sizes(topomap)}"
    raise BadInputError(f"{path} is {width}×{height}, {why}: name the camera with --camera camera.yaml")


def _sizes(topomap: TopoMap) -> str:
    return ", ".join(sorted({f"{m.width}×{m.height}" for m in topomap.cameras.values()})) or "nothing known"
