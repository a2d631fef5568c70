"""`astra eval occupancy|forecast`: rides through worlds that nobody trained on, one line a ride, a report and pictures."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.paths import atomic_write, cache_dir, recipe_hash, share_dir
from astra.core.types import nanoseconds
from astra.datasets.glide import GlideConfig, glide
from astra.datasets.samples import Sample, SampleSet
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.occupancy import Counts, best_thresholds, forecast_results, occupancy_results, ride_counts
from astra.evaluation.occupancy_pictures import Renderer, most_motion, rendered_picture, ride_picture, strip_picture
from astra.local_model.runtime import Eyes, EyesConfig, View, read_description
from astra.sim.robot import RobotConfig
from astra.sim.worlds.build import generate
from astra.sim.worlds.plan import KINDS

FIRST_SEED = {"validate": 10_500, "test": 20_500}  # apart from those that trainings report on
EPISODES_FILE, THRESHOLDS_FILE = "episodes.jsonl", "thresholds.yaml"
MOMENTS_S = (0.0, 0.5, 1.0, 1.5, 2.0)
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class EyesTableConfig:
    """What is measured."""

    split: str = "test"
    worlds: int = 9  # kinds take turns
    rides: int = 3  # in each
    seconds: float = 8.0
    eyes: Path = Path("models/eyes")
    samples: Path | None = None  # a packed set with rides of this split; none: worlds are made

    def __post_init__(self) -> None:
        require(self.split in FIRST_SEED, "split", self.split, "validate or test")
        require(self.worlds >= 1, "worlds", self.worlds, "at least 1")

    @property
    def folder(self) -> Path:
        """Of the eyes: as given, or below the share folder."""
        return self.eyes if self.eyes.is_absolute() or self.eyes.is_dir() else share_dir() / self.eyes


def run(config: EyesTableConfig, out: Path, told: Told) -> list[Result]:
    """Measure every ride that `out` does not hold yet, and write the report.

    Raises:
        BadInputError: no eyes, or an `out` of other eyes.
    """
    weights = recipe_hash(read_description(config.folder))
    out.mkdir(parents=True, exist_ok=True)
    done = _episodes(out, weights)
    for name, ride in rides(config, told):
        if name in done:
            continue
        eyes = Eyes(config.folder, ride[0].shard.rig(ride[0].image.shape[1:3]), EyesConfig(moments_s=MOMENTS_S))
        counts, views = ride_counts(eyes, ride, sweep=config.split == "validate")
        _count_rendered(counts, Renderer(config.folder, eyes), ride, views)
        done[name] = counts
        with (out / EPISODES_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"ride": name, "eyes": weights, "counts": counts.values}) + "\n")
        _pictures(config.folder, eyes, ride, views, out / "pictures" / name)
        told(f"{name}: obstacle IoU {counts.obstacle_iou('wide'):.3f}, total {counts.total_iou('wide'):.3f}")
    counted = list(done.values())
    results = occupancy_results(counted)
    for kind in KINDS:
        some = [c for name, c in done.items() if name.startswith(kind)]
        if some:
            results += occupancy_results(some, f"{kind}_")[:2]
    if any(name.startswith("forecast") for c in counted for name in c.values):
        results += forecast_results(counted, MOMENTS_S)
    if config.split == "validate":
        atomic_write(out / THRESHOLDS_FILE, yaml.safe_dump(asdict(best_thresholds(counted)), sort_keys=False))
    about = (
        f"{len(counted)} rides in {config.split} worlds, eyes of {config.folder.name} by ONNX Runtime, true poses as odometry. Counted are cells that "
        "a camera sees or saw within the past 2 s, by its true depth; for the forecast, those that it sees now, while somebody in view moves. "
        "Pictures: images; occupancy said, true, foreseen a second ahead, and what came true; `_forecast`: each half second, below it the truth; "
        "`_rendered`: images, colour as rendered, depth, depth as rendered."
    )
    write_report(results, out, "What the eyes see", about)
    return results


def _count_rendered(counts: Counts, renderer: Renderer, ride: Sequence[Sample], views: Sequence[View]) -> None:
    """Depth and colour as the signed distance renders them, every eighth moment."""
    for sample, view in list(zip(ride, views))[4::8]:
        look = renderer(sample, view)
        relative, pixels = look.abs_rel()
        for name, value in (("relative", relative), ("pixels", pixels), ("psnr", look.psnr()), ("looks", 1.0)):
            counts.add(f"rendered/{name}", value)


def _pictures(folder: Path, eyes: Eyes, ride: Sequence[Sample], views: Sequence[View], path: Path) -> None:
    ride_picture(eyes, ride, views, path.with_name(f"{path.name}.png"))
    k = most_motion(ride, min(eyes.history_steps, len(ride) - 1))
    rendered_picture(Renderer(folder, eyes)(ride[k], views[k]), path.with_name(f"{path.name}_rendered.png"))
    if views[k].forecast is not None:
        strip_picture(eyes, ride[k], views[k], path.with_name(f"{path.name}_forecast.png"))


def rides(config: EyesTableConfig, told: Told) -> Iterator[tuple[str, list[Sample]]]:
    """Name and samples of each ride, worlds made where they are not there yet."""
    if config.samples is not None:
        for folder in sorted(path for path in config.samples.iterdir() if path.is_dir()):
            yield from _rides_of(config.samples, folder.name, config)
        return
    glides = GlideConfig(rides=config.rides, seconds=config.seconds)
    robot = RobotConfig()
    robot = replace(robot, cameras=replace(robot.cameras, width=EyesConfig().width, height=EyesConfig().height))
    place = cache_dir() / "eval" / f"rides-{recipe_hash(asdict(glides))}" / config.split
    for number in range(config.worlds):
        kind, seed = KINDS[number % len(KINDS)], FIRST_SEED[config.split] + number
        name = f"{kind}{seed}"
        if not (place / name).is_dir():
            told(f"making {name}")
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=".making-") as scratch:
                glide(generate(kind, seed, Path(scratch) / name), robot, glides, seed, place, name)
        yield from _rides_of(place, name, config)


def _rides_of(place: Path, name: str, config: EyesTableConfig) -> Iterator[tuple[str, list[Sample]]]:
    """The first rides of one shard of a sample set."""
    samples = SampleSet(place, splits=(config.split,))
    mine = [samples[i] for i in range(len(samples)) if samples[i].shard.folder.name == name]
    for k, ride in enumerate(_split(mine, nanoseconds(0.5))[: config.rides]):
        yield f"{name}_{k}", ride


def _split(samples: Sequence[Sample], step_ns: int) -> list[list[Sample]]:
    rides: list[list[Sample]] = []
    for sample in samples:
        if not rides or abs(sample.stamp_ns - rides[-1][-1].stamp_ns - step_ns) > step_ns // 5:
            rides.append([])
        rides[-1].append(sample)
    return rides


def _episodes(out: Path, weights: str) -> dict[str, Counts]:
    path = out / EPISODES_FILE
    if not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if any(row["eyes"] != weights for row in rows):
        raise BadInputError(f"{path} was measured with other eyes; choose another folder")
    return {row["ride"]: Counts(row["counts"]) for row in rows}
