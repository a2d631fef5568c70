"""astra_navigator as a process of its own, among peers that a test controls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from astra_nav.action import NavigateToTarget
from astra_nav.srv import FindTarget
from fake_peers import SOFA, Behaviors, Follower, Localizer, Robot, candidate
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from nav2_msgs.action import ComputePathToPose, NavigateToPose
from rclpy.action import ActionClient
from ros_bench import RosBench, ros_bench

from astra.geometry import Pose2
from astra.ros import qos
from astra.ros.conversions import pose2_from_pose, pose_stamped, poses_from_path

pytestmark = pytest.mark.ros
Result = NavigateToTarget.Result
PARAMETERS = {
    "watch.stale_limit_s": 1.0, "watch.map_odom_limit_s": 1.0, "watch.heartbeat_limit_s": 2.0, "motions.silence_timeout_s": 1.0,
    "mission.look_after_s": 0.6, "mission.look_pause_s": 0.3, "mission.dead_reckoning_s": 1.0, "mission.replan_period_s": 0.1,
    "mission.settle_s": 0.2, "mission.stale_limit_s": 8.0, "mission.no_progress_s": 3.0, "mission.recovery.wait_s": 0.2,
    "mission.recovery.reroutes": 1, "feedback_period_s": 0.1, "tick_hz": 20.0,
}  # fmt: skip


@dataclass
class Scene:
    bench: RosBench
    robot: Robot
    localizer: Localizer
    follower: Follower
    behaviors: Behaviors
    feedback: list[Any] = field(default_factory=list)

    def send(self, text: str = "", **values: Any) -> Any:
        """Send a text goal, or another one given by its fields."""
        self.feedback = []
        goal = NavigateToTarget.Goal(text=text, **({"kind": NavigateToTarget.Goal.KIND_TEXT} | values))
        return self.bench.goal(self.client, goal, self.feedback.append)

    def navigate(self, text: str = "", limit_s: float = 30.0, **values: Any) -> tuple[int, Any]:
        return self.bench.result(self.send(text, **values), limit_s)

    def pose_goal(self, pose: Pose2, frame: str = "map") -> dict[str, Any]:
        return {"kind": NavigateToTarget.Goal.KIND_POSE, "pose": pose_stamped(pose, 0, frame)}

    @property
    def phases(self) -> list[int]:
        return [f.phase for i, f in enumerate(self.feedback) if i == 0 or f.phase != self.feedback[i - 1].phase]

    def moved(self) -> int:
        """How many motions were ordered."""
        return len(self.follower.routes) + len(self.behaviors.spins) + len(self.behaviors.backups)

    def driving(self) -> None:
        self.bench.until(lambda: self.follower.handle is not None and self.robot.map_from_base.x > 1.0, 30.0, "driving")


def zone_mask(folder: Path) -> Path:
    """A keep-out zone from (3.5, 0.5) to (4.5, 1.5), away from every edge, as map_server keeps it."""
    cv2.imwrite(str(folder / "zone.png"), np.zeros((10, 10), np.uint8))
    mask = folder / "zone.yaml"
    mask.write_text("image: zone.png\nresolution: 0.1\norigin: [3.5, 0.5, 0.0]\nnegate: 0\noccupied_thresh: 0.65\nfree_thresh: 0.25\n")
    return mask


@pytest.fixture(scope="module")
def stage(ros_domain_of_module: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ros_bench() as bench:
        robot = Robot(bench)
        scene = Scene(bench, robot, Localizer(bench), Follower(bench, robot), Behaviors(bench, robot))
        scene.client = ActionClient(bench.node, NavigateToTarget, "navigate_to_target")  # type: ignore[attr-defined]
        bench.start("astra_navigator", {**PARAMETERS, "keepout_mask": str(zone_mask(tmp_path_factory.mktemp("masks")))})
        bench.until(lambda: bench.active("astra_navigator"), 20.0, "the navigator")
        yield scene


@pytest.fixture
def scene(stage: Scene) -> Scene:
    """The stage, cleared: the robot at the lobby, everybody well."""
    if not stage.localizer.alive:
        stage.localizer.start()
    robot, localizer, follower, behaviors = stage.robot, stage.localizer, stage.follower, stage.behaviors
    robot.silent, robot.scan_silent = False, False
    localizer.sure = True
    found = FindTarget.Response.STATUS_FOUND
    localizer.answers = {"find the resting area": (found, [candidate("resting area", SOFA)])}
    follower.block, follower.frozen, behaviors.on_spin = None, False, lambda count: None
    assert stage.navigate("nothing at all")[1].error_code == Result.NOT_FOUND  # preempts what an earlier test left
    stage.bench.until(lambda: follower.handle is None, 10.0, "rest")
    robot.map_from_base = Pose2()
    stage.bench.spend(0.6)
    for journal in (localizer.searches, follower.routes, behaviors.spins, behaviors.backups):
        journal.clear()
    follower.cancels = 0
    return stage


def test_a_text_goal_is_found_and_driven_to(scene: Scene) -> None:
    status, result = scene.navigate("find the resting area")
    assert (status, result.error_code, result.error_msg) == (GoalStatus.STATUS_SUCCEEDED, Result.NONE, "")
    assert scene.robot.map_from_base.distance_to(SOFA) < 0.1
    search = scene.localizer.searches[-1]
    assert search.near_valid and pose2_from_pose(search.near.pose).distance_to(Pose2()) < 0.01
    assert result.goal.label == "resting area"
    assert pose2_from_pose(result.final_pose.pose).distance_to(SOFA) < 0.1
    assert result.distance_driven == pytest.approx(6.0, abs=0.3)
    feedback = NavigateToTarget.Feedback
    assert scene.phases[-2:] == [feedback.PHASE_DRIVING, feedback.PHASE_ARRIVING]
    remaining = [f.distance_remaining for f in scene.feedback if f.phase == feedback.PHASE_DRIVING]
    assert remaining == sorted(remaining, reverse=True) and remaining[0] > remaining[-1]
    route = scene.follower.routes[-1]
    np.testing.assert_allclose(route[-1], [SOFA.x, SOFA.y, SOFA.yaw], atol=1e-6)
    assert np.abs(route[:, 1]).max() < 1e-6  # the straight way


def test_an_unknown_goal_moves_nothing(scene: Scene) -> None:
    scene.localizer.sure = False
    status, result = scene.navigate("find the swimming pool")
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Result.NOT_FOUND)
    scene.bench.spend(1.0)
    assert scene.moved() == 0


def test_an_ambiguous_goal_lists_its_candidates_and_moves_nothing(scene: Scene) -> None:
    pair = [candidate("toilet", Pose2(2.0, 2.0, 0.0)), candidate("toilet", Pose2(6.0, 2.0, 0.0))]
    scene.localizer.answers["find the toilet"] = (FindTarget.Response.STATUS_AMBIGUOUS, pair)
    status, result = scene.navigate("find the toilet")
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Result.AMBIGUOUS)
    assert [c.label for c in result.candidates] == ["toilet", "toilet"]
    assert scene.moved() == 0


@pytest.mark.parametrize(
    ("pose", "frame", "code"),
    [
        (Pose2(math.nan, 0.0, 0.0), "map", Result.BAD_GOAL),
        (Pose2(1.0, 0.0, 0.0), "moon", Result.BAD_GOAL),
        (Pose2(40.0, 0.0, 0.0), "map", Result.NO_ROUTE),
    ],
)
def test_a_pose_that_cannot_be_meant_is_refused_without_motion(scene: Scene, pose: Pose2, frame: str, code: int) -> None:
    status, result = scene.navigate(**scene.pose_goal(pose, frame))
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, code)
    assert result.error_msg
    assert scene.moved() == 0


def test_empty_goals_are_refused(scene: Scene) -> None:
    for values in ({"kind": 0, "text": "  "}, {"kind": 1}, {"kind": 9}, {"kind": 0, "text": "sofa", "search_radius": math.nan}):
        status, result = scene.navigate(**values)
        assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Result.BAD_GOAL), values
    assert scene.moved() == 0


def test_a_pose_in_another_frame_and_with_a_heading(scene: Scene) -> None:
    base_from_goal = Pose2(2.0, 0.0, math.pi / 2.0)
    status, _ = scene.navigate(**scene.pose_goal(base_from_goal, "base_link"))
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert scene.robot.map_from_base.distance_to(Pose2(2.0, 0.0, 0.0)) < 0.1
    assert scene.robot.map_from_base.yaw == pytest.approx(math.pi / 2.0, abs=0.5)


def test_a_lost_robot_looks_around_until_it_knows_and_then_searches_from_there(scene: Scene) -> None:
    scene.localizer.sure = False
    scene.bench.spend(1.5)

    def recognise(count: int) -> None:
        scene.localizer.sure = count >= 3

    scene.behaviors.on_spin = recognise
    status, result = scene.navigate("find the resting area")
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, Result.NONE)
    assert len([s for s in scene.behaviors.spins if s > 0]) >= 3
    assert [s.near_valid for s in scene.localizer.searches] == [False, True]
    assert NavigateToTarget.Feedback.PHASE_LOOKING_AROUND in scene.phases


def test_a_cancel_stops_the_robot(scene: Scene) -> None:
    scene.follower.block = (4.0, 5.0)
    handle = scene.send("find the resting area")
    scene.driving()
    scene.bench.until(handle.cancel_goal_async().done, 5.0, "the cancel")
    status, _ = scene.bench.result(handle)
    assert status == GoalStatus.STATUS_CANCELED
    scene.bench.until(lambda: scene.follower.handle is None, 5.0, "the end of the motion")
    here = scene.robot.map_from_base
    assert here.distance_to(SOFA) > 0.5
    scene.bench.spend(0.5)
    assert scene.robot.map_from_base == here


def test_a_newer_goal_preempts_whichever_door_it_comes_through(scene: Scene) -> None:
    handle = scene.send("find the resting area")
    scene.driving()
    poses = ActionClient(scene.bench.node, NavigateToPose, "navigate_to_pose")
    second = scene.bench.goal(poses, NavigateToPose.Goal(pose=pose_stamped(Pose2(2.0, 2.0, 0.0), 0, "map")))
    status, result = scene.bench.result(handle)
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Result.PREEMPTED)
    status, answer = scene.bench.result(second)
    assert (status, answer.error_code) == (GoalStatus.STATUS_SUCCEEDED, NavigateToPose.Result.NONE)
    assert scene.robot.map_from_base.distance_to(Pose2(2.0, 2.0, 0.0)) < 0.1
    poses.destroy()


def test_a_click_in_rviz_drives(scene: Scene) -> None:
    clicks = scene.bench.node.create_publisher(PoseStamped, "goal_pose", qos.RELIABLE)
    scene.bench.until(lambda: clicks.get_subscription_count() > 0, 5.0, "a listener")
    clicks.publish(pose_stamped(Pose2(2.0, 2.0, 0.0), 0, "map"))
    scene.bench.until(lambda: scene.robot.map_from_base.distance_to(Pose2(2.0, 2.0, 0.0)) < 0.1, 15.0, "arrival")
    scene.bench.spend(0.5)


def test_compute_path_plans_without_motion(scene: Scene) -> None:
    client = ActionClient(scene.bench.node, ComputePathToPose, "compute_path_to_pose")
    goal = ComputePathToPose.Goal(goal=pose_stamped(Pose2(6.0, 2.0, 1.0), 0, "map"))
    status, result = scene.bench.result(scene.bench.goal(client, goal))
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, ComputePathToPose.Result.NONE)
    poses = poses_from_path(result.path)
    np.testing.assert_allclose(poses[[0, -1], :2], [[0.0, 0.0], [6.0, 2.0]], atol=0.02)
    goal.start, goal.use_start = pose_stamped(Pose2(2.0, 2.0, 0.0), 0, "map"), True
    _, result = scene.bench.result(scene.bench.goal(client, goal))
    np.testing.assert_allclose(poses_from_path(result.path)[0, :2], [2.0, 2.0], atol=1e-6)
    goal.goal.pose.position.x = 60.0
    status, result = scene.bench.result(scene.bench.goal(client, goal))
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, ComputePathToPose.Result.NO_VALID_PATH)
    assert scene.moved() == 0
    client.destroy()


def test_no_path_leads_to_a_goal_in_a_keep_out_zone(scene: Scene) -> None:
    client = ActionClient(scene.bench.node, ComputePathToPose, "compute_path_to_pose")
    for y, code in ((1.0, ComputePathToPose.Result.NO_VALID_PATH), (0.3, ComputePathToPose.Result.NONE)):
        goal = ComputePathToPose.Goal(goal=pose_stamped(Pose2(4.0, y, 0.0), 0, "map"))
        _, result = scene.bench.result(scene.bench.goal(client, goal))
        assert result.error_code == code, (y, result.error_msg)
    client.destroy()


def test_a_blocked_way_climbs_the_ladder_and_takes_the_other_way(scene: Scene) -> None:
    scene.follower.block = (4.0, 0.0)
    status, result = scene.navigate("find the resting area", 60.0)
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, Result.NONE)
    assert scene.robot.map_from_base.distance_to(SOFA) < 0.1
    assert scene.behaviors.backups[0] == pytest.approx(0.3)
    assert math.radians(60) < scene.behaviors.spins[0] < math.radians(120)  # to the gap the scan shows
    assert max(route[:, 1].max() for route in scene.follower.routes) == pytest.approx(2.0)
    assert max(f.recoveries for f in scene.feedback) >= 4


def test_a_way_blocked_everywhere_ends_blocked(scene: Scene) -> None:
    scene.follower.block = (6.0, 0.0)
    scene.robot.map_from_base = Pose2(3.0, 0.0, 0.0)
    scene.bench.spend(0.5)
    status, result = scene.navigate("find the resting area", 60.0)
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Result.BLOCKED)
    assert scene.follower.handle is None


def test_when_the_localizer_dies_the_robot_stops_after_a_bounded_way_and_goes_on_with_its_successor(scene: Scene) -> None:
    handle = scene.send("find the resting area")
    scene.driving()
    scene.follower.frozen = True
    scene.localizer.die()
    scene.bench.until(lambda: scene.follower.handle is None, 10.0, "the stop")
    assert scene.follower.cancels == 1
    scene.bench.spend(1.5)
    assert scene.behaviors.spins == []  # turning would not bring it back
    scene.follower.frozen = False
    scene.localizer.start()
    status, result = scene.bench.result(handle)
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, Result.NONE)


def test_a_localizer_that_takes_its_pose_back_stops_the_robot_at_once(scene: Scene) -> None:
    handle = scene.send("find the resting area")
    scene.driving()
    scene.follower.frozen = True
    scene.localizer.sure = False
    assert scene.bench.until(lambda: scene.follower.handle is None, 8.0, "the stop") < 4.0
    scene.follower.frozen = False
    scene.behaviors.on_spin = lambda count: setattr(scene.localizer, "sure", True)
    status, _ = scene.bench.result(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED


@pytest.mark.parametrize("sensor", ["odometry", "scan"])
def test_silent_sensors_stop_the_robot_and_it_goes_on_when_they_are_back(scene: Scene, sensor: str) -> None:
    handle = scene.send("find the resting area")
    scene.driving()
    scene.follower.frozen = True
    setattr(scene.robot, "silent" if sensor == "odometry" else "scan_silent", True)
    assert scene.bench.until(lambda: scene.follower.handle is None, 8.0, "the stop") < 4.0
    scene.bench.until(lambda: scene.feedback and sensor in scene.feedback[-1].why, 5.0, "a word about it")
    scene.follower.frozen = scene.robot.silent = scene.robot.scan_silent = False
    status, _ = scene.bench.result(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED


def test_when_the_local_planner_dies_the_mission_waits_for_its_successor(scene: Scene) -> None:
    handle = scene.send("find the resting area")
    scene.driving()
    scene.follower.die()
    scene.bench.spend(2.5)
    scene.follower.start()
    status, result = scene.bench.result(handle)
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, Result.NONE)
    assert scene.robot.map_from_base.distance_to(SOFA) < 0.1


def test_a_lifecycle_manager_can_take_it_down_and_up_again(scene: Scene) -> None:
    handle = scene.send("find the resting area")
    scene.driving()
    scene.follower.frozen = True
    down = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    assert scene.bench.transition("astra_navigator", down[0])
    assert scene.bench.result(handle)[1].error_code == Result.PREEMPTED
    scene.bench.until(lambda: scene.follower.handle is None, 5.0, "the end of the motion")
    assert scene.bench.transition("astra_navigator", down[1])
    node = scene.bench.node
    scene.bench.until(lambda: not node.get_subscriptions_info_by_topic("/scan"), 5.0, "the end of listening")
    scene.follower.frozen = False
    for up in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert scene.bench.transition("astra_navigator", up)
    scene.robot.map_from_base = Pose2()
    assert scene.navigate("find the resting area")[0] == GoalStatus.STATUS_SUCCEEDED


def test_the_last_word_on_shutdown_is_a_stop(scene: Scene) -> None:
    """Must stay the last test: it ends the navigator."""
    scene.send("find the resting area")
    scene.driving()
    scene.follower.frozen = True
    (process,) = scene.bench.processes
    process.popen.terminate()
    scene.bench.until(lambda: scene.follower.handle is None, 5.0, "the cancel")
    assert process.popen.wait(10.0) == 0
