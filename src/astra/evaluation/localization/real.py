"""Real photos: a map from every second image of a set, the others localized on it, and images of other sets, which must be lost.

What is off is told against the published poses after the similarity that lays the *mapped* images over them; the constant offset between the
camera's axes and the truth's is told from these as well. Of the images that are localized nothing is fitted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError, MappingError
from astra.core.paths import atomic_write
from astra.core.types import FloatArray, UInt8Array
from astra.evaluation.alignment import similarity_between
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.real_maps import mean_rotation, read_poses
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose3, Similarity
from astra.global_model.localizer import GlobalLocalizer
from astra.global_model.types import Query
from astra.topomap import TopoMap

CAMERAS = ("given", "estimated")  # by the set's camera.yaml; or by the map's builder, which is told nothing
FINE_M, WIDE_M, TURN_DEG = 0.1, 0.25, 5.0
NOTES = (
    "Maps are built by `astra map build` from every second image; positions are in the truth's unit (kitchen: metres, fox: its own). "
    "`map_…` are the errors of the mapped images themselves. `astra eval localization --real DIR`."
)


@dataclass(frozen=True, slots=True)
class RealConfig:
    """Sets below `data`, each with `images/`, `camera.yaml` and `poses.txt`; `foreign_every`: of the images of other sets one in so many is asked."""

    data: Path
    sets: tuple[str, ...] = ("kitchen", "fox")
    cameras: tuple[str, ...] = CAMERAS
    foreign_every: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        require(len(self.sets) > 0, "sets", self.sets, "at least one")
        require(set(self.cameras) <= set(CAMERAS), "cameras", self.cameras, f"among {', '.join(CAMERAS)}")
        require(self.foreign_every >= 1, "foreign_every", self.foreign_every, "≥ 1")


@dataclass(frozen=True, slots=True)
class RealQuery:
    """One image asked on one map; errors are NaN unless it was localized on the map of its own set."""

    map: str
    image: str
    status: str
    confidence: float
    inliers: int
    error: float
    turn_deg: float
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Compares poses on a map with the truth: `fit` lays the map over it, map rotations @ `offset` have its axes."""

    fit: Similarity
    offset: FloatArray

    @staticmethod
    def of(topo: TopoMap, truth: dict[str, Pose3]) -> tuple[Judge, FloatArray]:
        """The judge of a map by its own images, and their errors (N, 2): position, rotation [°]."""
        mapped = _mapped(topo)
        pairs = [(pose, truth[name]) for name, pose in mapped.items() if name in truth]
        found, true = np.array([a.translation for a, _ in pairs]), np.array([b.translation for _, b in pairs])
        fit = similarity_between(found, true)
        offset = mean_rotation(np.array([(fit.rotation @ a.rotation).T @ b.rotation for a, b in pairs]))
        judge = Judge(fit, offset)
        return judge, np.array([judge.errors(a, b) for a, b in pairs])

    def errors(self, found: Pose3, true: Pose3) -> tuple[float, float]:
        """Position in the truth's unit and rotation [°] of map_from_cam against world_from_cam."""
        gap = float(np.linalg.norm(self.fit.apply(found.translation[None])[0] - true.translation))
        turn = Pose3(self.fit.rotation @ found.rotation @ self.offset).angle_to(Pose3(true.rotation))
        return gap, float(np.degrees(turn))


def run(config: RealConfig, out: Path, told: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Build what maps are missing, ask what was not asked before, and write the report."""
    out.mkdir(parents=True, exist_ok=True)
    record = out / "queries.jsonl"
    done = {(q.map, q.image): q for q in _read(record)}
    results: list[Result] = []
    for name in config.sets:
        for camera in config.cameras:
            map_dir = _half_map(config, name, camera, out)
            results += _ask(config, name, camera, map_dir, record, done, told)
    write_report(results, out, "Real photos, localized", NOTES)
    return results


def _ask(
    config: RealConfig, name: str, camera: str, map_dir: Path, record: Path, done: dict[tuple[str, str], RealQuery], told: Callable[[str], None]
) -> list[Result]:
    localizer = GlobalLocalizer(map_dir)
    topo, truth = localizer.loaded.map, read_poses(_checked(config.data / name) / "poses.txt")
    judge, map_errors = Judge.of(topo, truth)
    own_camera = next(iter(topo.cameras.values()))
    label, asked = f"{name}-{camera}", []
    for image_set in config.sets:
        folder = _checked(config.data / image_set)
        model = own_camera if image_set == name else CameraModel.load(folder / "camera.yaml")
        names = sorted(p.name for p in (folder / "images").iterdir())
        halved = names[1::2] if image_set == name else names[:: config.foreign_every]
        for image in halved:
            key = label, f"{image_set}/{image}"
            if key not in done:
                true = truth.get(image) if image_set == name else None
                done[key] = _one(localizer, label, key[1], _read_image(folder / "images" / image), model, judge, true)
                with record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(done[key])) + "\n")
            asked.append(done[key])
        mine = [q for q in asked if q.image.startswith(f"{image_set}/")]
        counts = [sum(q.status == status for q in mine) for status in ("localized", "lost")]
        told(f"{image_set} on the map {label}: {counts[0]} of {len(mine)} localized, {counts[1]} lost")
    return figures(label, name, asked, map_errors)


def _one(localizer: GlobalLocalizer, label: str, image: str, rgb: UInt8Array, model: CameraModel, judge: Judge, true: Pose3 | None) -> RealQuery:
    wall, cpu = time.perf_counter(), time.process_time()
    found = localizer.localize(Query.from_image(rgb, model, image))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    gap, turn = float("nan"), float("nan")
    if found.map_from_base is not None and true is not None:
        gap, turn = judge.errors(found.map_from_base @ BODY_FROM_OPTICAL, true)
    return RealQuery(label, image, found.status.value, round(float(found.confidence), 4), int(found.inliers), gap, turn, round(wall, 3), round(cpu, 3))


def figures(label: str, name: str, asked: Sequence[RealQuery], map_errors: FloatArray) -> list[Result]:
    """Shares within the limits of the images of the map's own set, and what became of the others'."""
    own = [q for q in asked if q.image.startswith(f"{name}/")]
    localized = [q for q in own if q.status == "localized"]
    gaps, turns = np.array([q.error for q in localized]), np.array([q.turn_deg for q in localized])
    results = [Result(f"{label}/map_rotation_p95", float(np.percentile(map_errors[:, 1], 95)), "deg", len(map_errors))]
    for limit, target in ((FINE_M, 0.95), (WIDE_M, 0.99)):
        right = int(((gaps <= limit) & (turns <= TURN_DEG)).sum())
        results.append(Result(f"{label}/within_{limit:g}_{TURN_DEG:g}deg", right / max(len(own), 1), "", len(own), None, f"≥ {target:g}"))
        results.append(Result(f"{label}/within_{limit:g}", float((gaps <= limit).sum()) / max(len(own), 1), "", len(own)))
    if localized:
        for what, values, unit in (("error", gaps, ""), ("rotation", turns, "deg")):
            results += [Result(f"{label}/{what}_p{q}", float(np.percentile(values, q)), unit, len(values)) for q in (50, 95, 100)]
    results.append(Result(f"{label}/cpu_p95", float(np.percentile([q.cpu_s for q in asked], 95)), "s", len(asked)))
    for other in sorted({q.image.partition("/")[0] for q in asked} - {name}):
        foreign = [q for q in asked if q.image.startswith(f"{other}/")]
        lost = sum(q.status == "lost" for q in foreign)
        results.append(Result(f"{label}/{other}_images_lost", float(lost), "", len(foreign), None, f"{len(foreign)}"))
    return results


def _half_map(config: RealConfig, name: str, camera: str, out: Path) -> Path:
    """The map of every second image, built unless it is there."""
    map_dir, half = out / "maps" / f"{name}-{camera}", out / "halves" / name
    if map_dir.is_dir():
        return map_dir
    folder = _checked(config.data / name)
    half.mkdir(parents=True, exist_ok=True)
    map_dir.parent.mkdir(parents=True, exist_ok=True)
    for image in sorted((folder / "images").iterdir())[::2]:
        link = half / image.name
        link.unlink(missing_ok=True)
        link.symlink_to(image.resolve())
    settings = out / "mapping.yaml"
    atomic_write(settings, f"threads: {config.threads}\n")
    command = [sys.executable, "-m", "astra.cli.main", "map", "build", str(half), "--config", str(settings), "--out", str(map_dir), "--json"]
    command += ["--camera", str(folder / "camera.yaml")] if camera == "given" else []
    done = subprocess.run(command, env={**os.environ, "ASTRA_CACHE": str(out / "work")}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MappingError(f"{name} became no map: {done.stderr.strip().splitlines()[-1:]}")
    return map_dir


def _mapped(topo: TopoMap) -> dict[str, Pose3]:
    return {Path(view.image).name: view.map_from_cam for node in topo.nodes.values() for view in node.views}


def _checked(folder: Path) -> Path:
    missing = [name for name in ("images", "camera.yaml", "poses.txt") if not (folder / name).exists()]
    if missing:
        raise BadInputError(f"{folder} has no {missing[0]}")
    return folder


def _read_image(path: Path) -> UInt8Array:
    import cv2

    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr is None:
        raise BadInputError(f"{path} is not an image that can be read")
    return np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)


def _read(path: Path) -> Iterator[RealQuery]:
    if not path.is_file():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            yield RealQuery(**json.loads(text))
        except (ValueError, TypeError):
            continue
