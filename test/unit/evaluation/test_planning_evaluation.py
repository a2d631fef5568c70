"""Judging a trajectory by the truth, and the peers in scenes whose right answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from astra.core.types import FloatArray
from astra.evaluation import planning
from astra.evaluation import planning_peers as peers
from astra.evaluation.planning_scenes import PlanScene, judge
from astra.local_model.planning.config import MapConfig, TrajectoryConfig

TRAJECTORY, MAPS, RADIUS = TrajectoryConfig(), MapConfig(), 0.22


def straight(speed: float) -> FloatArray:
    poses = np.zeros((12, 3))
    poses[:, 0] = speed * 0.25 * np.arange(1, 13)
    return poses


def scene(wall_m: float = 10.0, mover: tuple[float, float, int] | None = None, known: bool = True, name: str = "s") -> PlanScene:
    """A wall across the way, with gaps beside it, and somebody who stands at x, y from a step on."""
    fine = (np.arange(128) + 0.5) * 0.05 - 3.2
    y, x = np.meshgrid(fine, fine, indexing="ij")
    occupied = (x > wall_m) & (x < wall_m + 0.3) & (np.abs(y) < 0.9) if known else np.zeros((128, 128), bool)
    coarse = (np.arange(64) + 0.5) * 0.1 - 3.2
    y, x = np.meshgrid(coarse, coarse, indexing="ij")
    field = np.hypot(np.maximum(np.abs(x - wall_m - 0.15) - 0.15, 0.0), np.maximum(np.abs(y) - 0.9, 0.0)).astype(np.float32)
    movers = np.full((13, 1, 3), 100.0)
    if mover is not None:
        movers[mover[2] :, 0] = mover[0], mover[1], 0.2
    velocity = np.tile([0.5, 0.0], (4, 1))
    route = np.column_stack([np.linspace(0.0, 2.5, 11), np.zeros(11)])
    goal, seen = np.array([2.5, 0.0, 0.0, 0.0]), np.zeros(1, bool)
    return PlanScene(name, occupied, np.ones((128, 128), bool), movers[0, :0], velocity, goal, route, field, movers, seen, straight(0.5))


def test_walls_and_people_are_touched_when_the_robot_is_there() -> None:
    def touched(s: PlanScene, speed: float) -> bool:
        return judge(straight(speed), s, RADIUS, 0.25, MAPS).touched

    assert touched(scene(1.5), 0.5) and not touched(scene(1.5), 0.3)
    assert touched(scene(mover=(0.75, 0.0, 6)), 0.5) and not touched(scene(mover=(0.0, 0.5, 6)), 0.5)
    assert not touched(scene(mover=(0.25, 0.0, 9)), 0.5)  # by then the robot has passed


def test_the_demonstration_is_no_distance_away() -> None:
    judged = judge(straight(0.5), scene(), RADIUS, 0.25, MAPS)
    assert (judged.apart_m, judged.end_m) == (0.0, 0.0) and judged.speed_mps == pytest.approx(judged.expert_mps)


@pytest.mark.parametrize("name", ["classical", "dwa"])
def test_peers_go_around_what_they_know_and_pure_pursuit_does_not(name: str) -> None:
    propose = peers.classical(TRAJECTORY) if name == "classical" else peers.dwa(TRAJECTORY, RADIUS)
    for wall_m in (10.0, 1.5):
        poses = propose(scene(wall_m))
        assert poses is not None and poses.shape == (12, 3)
        assert not judge(poses, scene(wall_m), RADIUS, 0.25, MAPS).touched
        assert wall_m < 5.0 or poses[-1, 0] > 1.0
    blind = peers.pursuit(TRAJECTORY)(scene(1.0))
    assert blind is not None and judge(blind, scene(1.0), RADIUS, 0.25, MAPS).touched


def test_the_table_is_resumed_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def few(cache: Path, group: str, split: str, count: int) -> list[PlanScene]:
        asked.append(group)
        return [scene(10.0, name="a"), scene(0.8, name="b")]

    monkeypatch.setattr(planning, "scenes", few)
    config = planning.PlanningTableConfig(peers=("pure_pursuit",))
    first = planning.run(config, tmp_path)
    assert len(first) == 8 and planning.run(config, tmp_path) == first  # two groups, two planners, two scenes
    found = {row["name"]: row for row in json.loads((tmp_path / "results.json").read_text())}
    hit = found["in_distribution/pure_pursuit/collision"]
    assert (hit["value"], hit["n"]) == (50.0, 2) and hit["ci95"][0] < 50.0 < hit["ci95"][1]
    assert "pure_pursuit" in (tmp_path / "report.md").read_text()
