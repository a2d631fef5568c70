"""Reads the maps of Nav2's map server, ours and anyone's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.geometry import Pose2
from astra.mapping.occupancy import Occupancy, OccupancyConfig


@dataclass(frozen=True, slots=True, eq=False)
class Nav2Map:
    """occupied, free: (H, W) bool, row 0 at the lower edge; the corner of cell (0, 0) lies at `origin`, and the columns run along its x axis."""

    occupied: BoolArray
    free: BoolArray
    resolution_m: float
    origin: Pose2

    def occupied_points(self) -> FloatArray:
        """Centres (N, 2) [m, map] of the occupied cells."""
        return self._centres(self.occupied)

    def free_points(self) -> FloatArray:
        """Centres (N, 2) [m, map] of the free cells."""
        return self._centres(self.free)

    def occupancy(self, strength: float = 2.0) -> Occupancy:
        """As a grid of log-odds ± `strength`.

        Raises:
            BadInputError: the map's origin is turned.
        """
        if abs(self.origin.yaw) > 1e-6:
            raise BadInputError(f"an occupancy grid whose origin is turned by {math.degrees(self.origin.yaw):.2f}° cannot be used as it is")
        log_odds = np.zeros(self.occupied.shape, dtype=np.float32)
        log_odds[self.free], log_odds[self.occupied] = -strength, strength
        return Occupancy(log_odds, np.array([self.origin.x, self.origin.y]), OccupancyConfig(resolution_m=self.resolution_m))

    def _centres(self, cells: BoolArray) -> FloatArray:
        rows, columns = np.nonzero(cells)
        corner_from_cell: FloatArray = (np.stack([columns, rows], axis=1).astype(np.float64) + 0.5) * self.resolution_m
        return self.origin.apply(corner_from_cell)


def load_nav2_map(path: Path) -> Nav2Map:
    """Read a map server's YAML and its image (PGM, PNG, BMP; trinary, scale and raw mode).

    Raises:
        BadInputError: a file is missing, or it is no such map; the message names it.
    """
    try:
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInputError(f"{path} is not YAML: {error}") from error
    if isinstance(entry, Mapping) and entry.get("format") == "astra-map":
        raise BadInputError(f"{path} is the manifest of an Astra map; its Nav2 map, where it has one, is nav2/map.yaml beside it")
    try:
        image, resolution = _image(path, entry), float(entry["resolution"])
        x, y, yaw = (float(v) for v in entry["origin"])
        occupied, free = _cells(image, entry)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"{path} is not a map of Nav2's map server: {type(error).__name__} {error}") from error
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(yaw) and 1e-3 < resolution < 10.0):
        raise BadInputError(f"{path}: origin {entry['origin']} or resolution {resolution} is not usable")
    return Nav2Map(np.ascontiguousarray(occupied[::-1]), np.ascontiguousarray(free[::-1]), resolution, Pose2(x, y, yaw))


def _image(path: Path, entry: Mapping[str, Any]) -> FloatArray:
    """(H, W) brightness in 0 … 255."""
    import cv2

    file = path.parent / str(entry["image"])
    if not file.is_file():
        raise BadInputError(f"{path} names the image {file}, which is not there")
    try:
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # a header that promises more than there may be
        image = None
    if image is None:
        raise BadInputError(f"{file} is not an image that can be read")
    return np.asarray(image, dtype=np.float64)


def _cells(image: FloatArray, entry: Mapping[str, Any]) -> tuple[BoolArray, BoolArray]:
    """Occupied and free cells as the map server reads them."""
    mode = str(entry.get("mode", "trinary"))
    if mode == "raw":
        return image == 100, image == 0
    if mode not in ("trinary", "scale"):
        raise ValueError(f"mode {mode!r}")
    chance = image / 255.0 if int(entry.get("negate", 0)) else 1.0 - image / 255.0
    return chance > float(entry.get("occupied_thresh", 0.65)), chance < float(entry.get("free_thresh", 0.25))
