"""`astra eval goals`: sentences of generated worlds, over maps as perfect eyes would make them, against matching words alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from astra.core.config import require
from astra.core.paths import atomic_write
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.goals import GoalEpisode, imagined_world, judge, shares, true_map
from astra.geometry import Pose2
from astra.global_model.backends.embedded import EmbeddedBackend
from astra.global_model.backends.protocol import Meaning
from astra.global_model.goal import GoalFinder
from astra.global_model.language.words import word_overlap
from astra.perception.text import normalise_text
from astra.sim.worlds.language import Voice
from astra.sim.worlds.plan import KINDS
from astra.topomap import Landmark

FIRST_SEEDS = {"validate": 10_100, "test": 20_100, "unseen": 20_110, "blind": 20_120, "fresh": 20_130}
VOICES: dict[str, Voice] = {"validate": "validate", "test": "test", "unseen": "unseen", "blind": "blind", "fresh": "fresh"}
TARGETS = {"explicit": "≥ 0.99", "object": "≥ 0.99", "implied": "≥ 0.95", "unanswerable": "≥ 0.97", "ambiguous": "≥ 0.90"}
NOTES = (
    "Landmarks are the worlds' own (every sign, every telling object), so that what is wrong here is the understanding of sentences alone; "
    "a map that was built misses some. Intervals are Wilson's, 95 %. `words`: the same with nothing but words in common."
)


@dataclass(frozen=True, slots=True)
class GoalsTableConfig:
    """Which worlds: `worlds` of each kind, of a split. Test phrasings were written by hand and never used in tuning; `unseen`, `blind` and `fresh`
    are later sets of them."""

    split: str = "test"
    worlds: int = 4

    def __post_init__(self) -> None:
        require(self.split in FIRST_SEEDS, "split", self.split, f"one of {', '.join(FIRST_SEEDS)}")
        require(1 <= self.worlds <= 100, "worlds", self.worlds, "between 1 and 100")


class WordsBackend(EmbeddedBackend):
    """The baseline: a landmark means what shares words with it."""

    def resolve_goal(self, text: str, landmarks: Sequence[Landmark], near: Pose2 | None = None) -> tuple[Meaning, ...]:
        """Every landmark that shares words with the sentence, best first."""
        del near
        phrase = normalise_text(text)
        found = [Meaning(mark.id, word_overlap(phrase, normalise_text(mark.label), 0.84), "words in common") for mark in landmarks]
        return tuple(sorted((m for m in found if m.score > 0.0), key=lambda m: -m.score))


def run(config: GoalsTableConfig, out: Path, progress: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Ask in every world and write episodes.jsonl, results.json and report.md; worlds that were asked in before are not asked in again."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "episodes.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    backends = {"astra": EmbeddedBackend(), "words": WordsBackend()}
    for kind in KINDS:
        for seed in range(FIRST_SEEDS[config.split], FIRST_SEEDS[config.split] + config.worlds):
            if any(row["world"] == f"{kind}{seed}" for row in rows):
                continue
            world = imagined_world(kind, seed, VOICES[config.split])
            loaded = true_map(world)
            for name, backend in backends.items():
                asked = judge(GoalFinder(out, loaded=loaded, backend=backend), world, world.instructions)
                rows += [{"method": name, **asdict(episode)} for episode in asked]
            atomic_write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            progress(f"{kind}{seed}: {len(world.instructions)} sentences")
    results = figures(rows)
    write_report(results, out, f"Goals ({config.split})", NOTES)
    return results


def figures(rows: Sequence[dict[str, object]]) -> list[Result]:
    """Shares of right answers, of each method and kind of sentence, over all worlds and by kind of building."""
    out = []
    for method in ("astra", "words"):
        for place in ("", *KINDS):
            mine = [row for row in rows if row["method"] == method and str(row["world"]).startswith(place)]
            for kind, (right, asked) in sorted(shares(_episodes(mine)).items()):
                name = "/".join(filter(None, (method, place, kind)))
                low, high = wilson(right, asked)
                target = TARGETS.get(kind, "") if method == "astra" and not place else ""
                out.append(Result(name, right / asked, f"[{low:.3f}, {high:.3f}]", asked, None, target))
    return out


def wilson(right: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson's score interval)."""
    share, square = right / asked, z * z
    centre = (share + square / (2 * asked)) / (1 + square / asked)
    half = z / (1 + square / asked) * math.sqrt(share * (1 - share) / asked + square / (4 * asked * asked))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _episodes(rows: Iterable[dict[str, object]]) -> list[GoalEpisode]:
    return [GoalEpisode(**{k: v for k, v in row.items() if k != "method"}) for row in rows]  # type: ignore[arg-type]
