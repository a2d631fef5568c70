"""Maps of real photos against the poses that were published with them: how many images, how far off, at what price."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError, MappingError
from astra.core.types import FloatArray
from astra.evaluation.alignment import similarity_between
from astra.geometry import Pose3
from astra.topomap import TopoMap


@dataclass(frozen=True, slots=True)
class RealMapScore:
    """A map of photos against their true poses, after the best similarity; errors are those of the largest fragment.

    ate: root mean square error of the camera centres, in the truth's unit. extent: diagonal of the true centres' bounding box.
    rotation_deg: median, after the truth's constant offset of axes was removed. cpu_s: NaN where the build was not watched.
    """

    name: str
    images: int
    placed: int
    fragments: tuple[int, ...]
    ate: float
    extent: float
    rotation_deg: float
    warnings: tuple[str, ...]
    cpu_s: float = float("nan")

    def line(self) -> str:
        """One line to print."""
        return (
            f"{self.name}: {self.placed}/{self.images} images in fragments of {list(self.fragments)}, ATE {self.ate:.4f} "
            f"({100.0 * self.ate / self.extent:.3f} % of the extent), rotation {self.rotation_deg:.2f}°, {self.cpu_s:.0f} CPU-s"
        )


def read_poses(path: Path) -> dict[str, Pose3]:
    """`poses.txt`: image tx ty tz qx qy qz qw, world from camera.

    Raises:
        BadInputError: a line is something else.
    """
    poses = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            values = [float(word) for word in words[1:]]
            poses[words[0]] = Pose3.from_quaternion(np.array(values[3:7]), np.array(values[:3]))
        except (ValueError, IndexError) as error:
            raise BadInputError(f"{path} line {number} is no pose: {line!r}") from error
    return poses


def score_map(name: str, topo: TopoMap, truth: Mapping[str, Pose3], cpu_s: float = float("nan")) -> RealMapScore:
    """Compare every image of the map that the truth knows."""
    by_fragment: dict[int, list[tuple[Pose3, Pose3]]] = {}
    for node in topo.nodes.values():
        for view in node.views:
            pose = truth.get(Path(view.image).name)
            if pose is not None:
                by_fragment.setdefault(node.fragment, []).append((view.map_from_cam, pose))
    sizes = sorted((len(pairs) for pairs in by_fragment.values()), reverse=True)
    pairs = max(by_fragment.values(), key=len)
    found, true = [p for p, _ in pairs], [p for _, p in pairs]
    fit = similarity_between(np.array([p.translation for p in found]), np.array([p.translation for p in true]))
    errors = np.linalg.norm(fit.apply(np.array([p.translation for p in found])) - np.array([p.translation for p in true]), axis=1)
    centres = np.array([p.translation for p in truth.values()])
    rotation = rotation_errors_deg(np.array([fit.rotation @ p.rotation for p in found]), np.array([p.rotation for p in true]))
    return RealMapScore(
        name,
        len(truth),
        sum(sizes),
        tuple(sizes),
        float(np.sqrt((errors**2).mean())),
        float(np.linalg.norm(np.ptp(centres, axis=0))),
        float(np.median(rotation)),
        topo.info.warnings,
        cpu_s,
    )


def rotation_errors_deg(found: FloatArray, true: FloatArray) -> FloatArray:
    """Angles (N,) between rotations (N, 3, 3) once the constant offset of the camera's axes, found @ offset = true, was removed."""
    offset = mean_rotation(np.swapaxes(found, 1, 2) @ true)
    left = np.swapaxes(found @ offset, 1, 2) @ true
    cosine = np.clip((np.trace(left, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0)
    return np.asarray(np.degrees(np.arccos(cosine)))


def mean_rotation(rotations: FloatArray) -> FloatArray:
    """(3, 3): the rotation nearest to the mean of (N, 3, 3) in the Frobenius norm."""
    u, _, vt = np.linalg.svd(rotations.mean(axis=0))
    mean: FloatArray = u @ np.diag([1.0, 1.0, float(np.linalg.det(u @ vt))]) @ vt
    return mean


def map_real_set(folder: Path) -> RealMapScore:
    """Build the map of a folder with `images/`, `camera.yaml` and `poses.txt` as a user would, landmarks and audit included, and score it.

    The build runs in a process of its own with an empty cache: its price is that of a first one.

    Raises:
        BadInputError: the folder lacks one of these.
        MappingError: no map could be built.
    """
    from astra.topomap.io import load_map

    missing = [name for name in ("images", "camera.yaml", "poses.txt") if not (folder / name).exists()]
    if missing:
        raise BadInputError(f"{folder} has no {missing[0]}")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / folder.name
        command = [sys.executable, "-m", "astra.cli.main", "map", "build", str(folder / "images"), "--camera", str(folder / "camera.yaml")]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*command, "--out", str(out), "--json"], env={**os.environ, "ASTRA_CACHE": scratch}, capture_output=True, text=True, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            raise MappingError(f"{folder.name} became no map: {done.stderr.strip().splitlines()[-1:]}")
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return score_map(folder.name, load_map(out), read_poses(folder / "poses.txt"), cpu_s)
