"""`astra eval localization`: queries of all maps in turns, so that any prefix of a run has seen something of everything; a line each, resumable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.evaluation.bench_report import Result
from astra.evaluation.localization import report
from astra.evaluation.localization.figures import Row
from astra.evaluation.localization.measure import QueriesConfig, kind_of, measure_chunk, seed_of
from astra.evaluation.mapping.episodes import FIRST_SEEDS
from astra.evaluation.mapping.table import read_rows


@dataclass(frozen=True, slots=True)
class LocalizationTableConfig:
    """Which maps (folders named like tours: home20000 …), how many queries on each; `chunk`: how many in one go, for opening a world takes seconds."""

    maps: Path
    split: str = "test"
    queries: int = 100
    only: str = ""
    chunk: int = 50
    each: QueriesConfig = field(default_factory=QueriesConfig)

    def __post_init__(self) -> None:
        require(self.maps.is_dir(), "maps", self.maps, "a folder of maps")
        require(self.split in FIRST_SEEDS, "split", self.split, f"one of {', '.join(FIRST_SEEDS)}")
        require(1 <= self.queries <= 100_000, "queries", self.queries, "between 1 and 100000")
        require(self.chunk >= 1, "chunk", self.chunk, "≥ 1")

    def folders(self) -> list[Path]:
        """The maps of the split, the kinds of building in turns.

        Raises:
            BadInputError: there is none, or `only` is no regular expression.
        """
        if (self.maps / "map.yaml").is_file():
            return [self.maps]
        first = FIRST_SEEDS[self.split]
        try:
            names = [p for p in self.maps.iterdir() if (p / "map.yaml").is_file() and re.fullmatch(r"[a-z]+\d+", p.name) and re.search(self.only, p.name)]
        except re.error as error:
            raise BadInputError(f"--only {self.only!r} is no regular expression: {error}") from error
        chosen = [p for p in names if first <= seed_of(p.name) < first + 10_000]
        if not chosen:
            raise BadInputError(f"{self.maps} holds no map of the {self.split} split, named like its tour, that matches {self.only!r}")
        return sorted(chosen, key=lambda p: (seed_of(p.name), kind_of(p.name)))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Queries of one map that are asked in one go; `foreign`: another map, if possible of the same kind, whose world's images it must not know."""

    folder: Path
    foreign: Path | None
    numbers: tuple[int, ...]


def chunks(folders: Sequence[Path], config: LocalizationTableConfig, done: set[tuple[str, int]]) -> Iterator[Chunk]:
    """What is left to ask, map after map in turns."""
    for start in range(0, config.queries, config.chunk):
        for folder in folders:
            left = tuple(k for k in range(start, min(start + config.chunk, config.queries)) if (folder.name, k) not in done)
            if left:
                yield Chunk(folder, stranger(folder, folders) if config.each.foreign else None, left)


def stranger(folder: Path, folders: Sequence[Path]) -> Path | None:
    """The next map of the same kind, round and round; of any kind if it is the only one of its own; none if it is the only one."""
    alike = [f for f in folders if kind_of(f.name) == kind_of(folder.name)]
    alike = alike if len(alike) > 1 else list(folders)
    other = alike[(alike.index(folder) + 1) % len(alike)]
    return None if other == folder else other


def run(config: LocalizationTableConfig, out: Path, progress: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Ask what was not asked yet; write queries.jsonl, results.json, report.md and pictures/."""
    out.mkdir(parents=True, exist_ok=True)
    path, folders = out / "queries.jsonl", config.folders()
    names = {folder.name for folder in folders}
    rows: list[Row] = [dict(row) for row in read_rows(path) if row["map"] in names]
    skipped: dict[str, str] = {}
    for chunk in chunks(folders, config, {(row["map"], row["query"]) for row in rows}):
        if chunk.folder.name in skipped:
            continue
        try:
            for row in measure_chunk(chunk.folder, chunk.foreign, chunk.numbers, config.each):
                rows.append(row)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        except BadInputError as error:
            skipped[chunk.folder.name] = str(error)
            progress(str(error))
            continue
        right = sum(row["astra"]["status"] == "localized" for row in rows[-len(chunk.numbers) :])
        progress(f"{chunk.folder.name}: {right} of {len(chunk.numbers)} localized; {len(rows)} queries so far")
        report.write(rows, out, tuple(skipped.values()))
    return report.write(rows, out, tuple(skipped.values()))
