"""One episode: build the map in this process, judge it, draw it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import resource
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from astra import __version__
from astra.core.errors import AstraError
from astra.core.paths import atomic_write, recipe_hash
from astra.evaluation.map_landmarks import judge_drive
from astra.evaluation.mapping.episodes import Episode
from astra.evaluation.mapping.judge import FragmentErrors, is_consistent, is_silent_failure, is_within_target, map_errors
from astra.evaluation.mapping.material import IMAGE_RATE_HZ, Material, prepare
from astra.evaluation.mapping.pictures import draw_map
from astra.evaluation.mapping.standing import Standing, judge_standing, occupied_points
from astra.mapping import build
from astra.mapping.build import MappingConfig, build_map
from astra.mapping.features import PlaceEncoder
from astra.mapping.landmarks import LandmarkExtractor
from astra.mapping.workspace import STAGES_VERSION
from astra.topomap import TopoMap
from astra.topomap.io import load_map

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MeasureConfig:
    """How maps are built; `landmarks`: whether signs are read, which takes longer than everything else."""

    mapping: MappingConfig = field(default_factory=lambda: MappingConfig(threads=1))
    landmarks: bool = False

    def key(self, episode: Episode) -> str:
        """Names a measurement: what was mapped, with which settings and which version."""
        settings = {"mapping": asdict(self.mapping), "version": [__version__, STAGES_VERSION], "landmarks": self.landmarks}
        return recipe_hash({**settings, "episode": asdict(episode), "rate_hz": IMAGE_RATE_HZ})


def measure(episode: Episode, config: MeasureConfig, out: Path) -> dict[str, object]:
    """Map one tour and judge the map; a build that fails is a result too.

    Returns:
        what is written as a line of episodes.jsonl: plain numbers, texts and lists.
    """
    row: dict[str, object] = {"name": episode.name, "key": config.key(episode), **asdict(episode), "code": code_hash(), "error": ""}
    try:
        material = prepare(episode)
        row |= {"length_m": round(material.truth.length_m(), 1), "duration_s": round(material.drive.duration_s, 1)}
        path = out / "maps" / episode.name
        row |= _build(material, path, config, out / "work" / episode.name)
        row |= judge(material, load_map(path), path, episode, out / "pictures" / f"{episode.name}.png", with_landmarks=config.landmarks)
    except AstraError as error:
        row["error"] = f"{type(error).__name__}: {error}"
    except Exception as error:  # one broken episode must not end the table; it is reported as what it is
        row["error"] = f"{type(error).__name__}: {error}"
        logger.warning("%s: %s", episode.name, traceback.format_exc())
    return row


def _build(material: Material, path: Path, config: MeasureConfig, work: Path) -> dict[str, float]:
    """Build the map and return what it cost. Each tour keeps its artefacts, so that a map is soon judged again when a late stage has changed.

    What is read back costs next to nothing: the costs are those of the first time.
    """
    record = work / "cost.json"
    os.environ["ASTRA_CACHE"] = str(work)
    began = time.process_time()
    build_map([material.tour], path, config.mapping, _extractor(config), _encoder())
    if not record.is_file():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        atomic_write(record, json.dumps({"cpu_s": round(time.process_time() - began, 1), "peak_mb": round(peak)}))
    costs: dict[str, float] = json.loads(record.read_text(encoding="utf-8"))
    return costs


def judge(material: Material, topo: TopoMap, path: Path, episode: Episode, picture: Path, *, with_landmarks: bool) -> dict[str, object]:
    """Everything that is known about a map, by the truth."""
    fragments = map_errors(topo, material.truth)
    audit = topo.info.audit
    row: dict[str, object] = {
        "consistent": is_consistent(topo),
        "reasons": list(audit.reasons) if audit is not None else [],
        "loops_cut": len(audit.suspicious_loops) if audit is not None else 0,
        "warnings": list(topo.info.warnings),
        "keyframes": _number(topo.info.build, "keyframes"),
        "registered": len(topo.nodes),
        "scale_source": topo.info.scale_source,
        "fragments": [_fragment(fragment, topo, k) for k, fragment in enumerate(fragments)],
        "within_target": is_within_target(fragments, episode.kind),
        "silent_failure": is_silent_failure(topo, fragments),
        "stage_seconds": topo.info.build.get("stage_seconds"),
    }
    if (path / "nav2" / "map.yaml").is_file():
        row["standing"] = asdict(_standing(material, path, fragments[0]))
    if with_landmarks and not episode.twist:
        score = judge_drive(topo, material.world, material.drive)
        row["landmarks"] = {**asdict(score), "errors_m": [round(e, 3) for e in score.errors_m]}
    draw_map(picture, topo, material, fragments, f"{episode.name}: {'consistent' if row['consistent'] else 'doubtful'}")
    return row


def code_hash() -> str:
    """Of the mapping stages' source, so that a figure can be told from one of an older program."""
    digest = hashlib.sha256()
    for path in sorted(Path(build.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _fragment(fragment: FragmentErrors, topo: TopoMap, number: int) -> dict[str, object]:
    audit = topo.info.audit
    verdict = str(audit.fragments[number].verdict) if audit is not None and number < len(audit.fragments) else ""
    figures = {"ate_m": fragment.ate_m, "ate_sim3_m": fragment.ate_sim3_m, "worst_m": fragment.worst_m, "scale": fragment.scale}
    rounded = {name: round(value, 4) if math.isfinite(value) else None for name, value in figures.items()}
    return {"nodes": len(fragment.node_ids), "verdict": verdict, **rounded, "worst_node": fragment.worst_node}


def _standing(material: Material, path: Path, first: FragmentErrors) -> Standing:
    truth = material.world.truth
    assert truth is not None
    return judge_standing(occupied_points(path / "nav2" / "map.yaml"), first.world_from_map, truth, material.drive.movers().places)


def _number(build_record: Mapping[str, object], name: str) -> int:
    value = build_record.get(name)
    return int(value) if isinstance(value, int | float) else 0


def _extractor(config: MeasureConfig) -> LandmarkExtractor | None:
    if not config.landmarks:
        return None
    from astra.mapping.text_landmarks import TextLandmarkExtractor

    return TextLandmarkExtractor()


def _encoder() -> PlaceEncoder:
    from astra.perception import place

    return place.PlaceEncoder()
