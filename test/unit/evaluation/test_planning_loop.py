"""Kinematic episodes: the classical planner and the expert arrive in a room with a wall, a planner that drives into it is found out."""

from __future__ import annotations

import numpy as np
import pytest

from astra.core.types import AnyArray
from astra.datasets.lessons import LessonConfig, PlannedWorld
from astra.evaluation.planning_loop import Task, drive, drive_expert, report
from astra.evaluation.planning_loop_peers import PeerPlanner
from astra.geometry import Pose2
from astra.navigation.planner import ClassicalPlanner
from astra.navigation.protocols import LocalPath, LocalPlanError, LocalScene, NoLocalPath, Subgoal
from astra.sim.robot import RobotConfig
from astra.sim.world import WorldTruth


@pytest.fixture(scope="module")
def task() -> Task:
    free = np.zeros((100, 120), bool)
    free[2:98, 2:118] = True
    free[2:60, 58:62] = False
    nothing: AnyArray = np.zeros((0, 2))
    truth = WorldTruth((), (), nothing, Pose2(1.0, 1.0, 0.0), free, 0.05, (0.0, 0.0))
    line = np.array([[2.2, 2.4], [2.6, 3.4], [3.4, 3.4], [4.2, 2.4]])
    return Task("room/0", PlannedWorld(truth, None), Pose2(2.2, 2.4, 0.9), np.column_stack([line, np.zeros(4)]), Pose2(4.2, 2.4, 0.0))


class Stubborn:
    """Straight to the goal, whatever stands there; or nowhere."""

    def __init__(self, gives_up: bool = False) -> None:
        self.gives_up = gives_up

    def plan(self, scene: LocalScene, subgoal: Subgoal) -> LocalPath:
        if self.gives_up:
            raise LocalPlanError(NoLocalPath.SUBGOAL_UNREACHABLE, "no")
        here = scene.odom_from_base
        poses = np.column_stack([here.x + np.linspace(0.0, 2.0, 9), np.full(9, here.y), np.zeros(9)])
        return LocalPath(scene.stamp_ns, poses, np.full(9, 0.5))

    def reset(self) -> None: ...


def test_whoever_plans_arrives_without_touching(task: Task) -> None:
    lesson = LessonConfig(beams=180)
    rows = []
    for name, episode in (("classical", drive(task, lambda body: ClassicalPlanner(), RobotConfig(), lesson)), ("expert", drive_expert(task, RobotConfig()))):
        assert episode.arrived and episode.collisions == 0 and episode.room_m > 0.0 and episode.driven_m > 2.0
        rows.append({"driver": name, "task": task.name, "arrived": True, "route_m": episode.route_m, "driven_m": episode.driven_m,
                     "lasted_s": episode.lasted_s, "collisions": 0, "at_fault": 0, "ticks": 0, "fallbacks": 0})  # fmt: skip
    assert report(rows).count("| 100 [") == 2


def test_a_planner_without_a_way_ends_the_episode(task: Task) -> None:
    episode = drive(task, lambda body: Stubborn(gives_up=True), RobotConfig(), LessonConfig(beams=180))
    assert not episode.arrived and "no local path" in episode.why and episode.recoveries == 11  # of both reroutes' ladders, too


@pytest.mark.parametrize("name", ["pure_pursuit", "dwa"])
def test_peers_drive_behind_the_gate(name: str, task: Task) -> None:
    episode = drive(task, lambda body: PeerPlanner(name, body, 0.22), RobotConfig(), LessonConfig(beams=180))
    assert episode.at_fault == 0 and episode.driven_m > 0.5


def test_the_gate_stops_whoever_would_drive_into_a_wall(task: Task) -> None:
    episode = drive(task, lambda body: Stubborn(), RobotConfig(), LessonConfig(beams=180))
    assert not episode.arrived and episode.at_fault == 0
