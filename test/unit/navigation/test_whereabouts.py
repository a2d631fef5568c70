"""Two identical rooms and one telling sign: the robot does not commit, looks where the map says that the rooms differ, and then knows; or says lost."""

import math

import numpy as np
import pytest

from astra.core.types import LaserScan
from astra.fusion.relocalization import FixOutcome, OdometryPoint, TrackState
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera, wrap_angle
from astra.global_model.types import Alternative, LocalizationResult, Status
from astra.navigation.free_space import free_ways
from astra.navigation.mission import (
    Advance,
    BehaviorEnded,
    Code,
    FetchMap,
    FindGoal,
    Finish,
    Fix,
    GoalSearched,
    MapReady,
    Mission,
    Motion,
    PlanRoute,
    Search,
    Spin,
    Tick,
)
from astra.navigation.protocols import GoalPlace
from astra.navigation.whereabouts import Whereabouts, WhereaboutsConfig

NEXT_DOOR = Pose2(0.0, 6.0, 0.0)  # the second room, as seen from the first
FRONT = CameraRig((RigCamera("front", CameraModel.from_fov(160, 120, math.pi / 2), BODY_FROM_OPTICAL),))
SIGN = (3.0, 1.0)  # in the first room alone
COVARIANCE = np.diag([0.02, 0.02, 0.01, 0.01, 0.01, 0.01]) ** 2
SOFA = GoalPlace(7, "sofa", 0.9, Pose2(1.0, 1.0, 0.0), "seen")


def pose3(pose):
    return Pose3.from_pose2(pose)


def localized(pose, confidence=0.9, rivals=(), stamp_ns=0):
    others = tuple(Alternative(pose3(p), COVARIANCE, c) for p, c in rivals)
    return LocalizationResult(stamp_ns, Status.LOCALIZED, confidence, "", pose3(pose), COVARIANCE, alternatives=others)


def lost(rivals=()):
    others = tuple(Alternative(pose3(p), COVARIANCE, c) for p, c in rivals)
    return LocalizationResult(0, Status.LOST, 0.0, "", alternatives=others)


class TwoRooms:
    """A robot with a narrow camera, a mission, a localizer that cannot tell the rooms apart unless it sees the sign; a clock of its own."""

    def __init__(self, truth, sign=True, room_m=2.0, seen_from_m=math.inf):
        self.truth, self.odom, self.sign, self.room_m, self.seen_from_m = truth, Pose2(3.0, -1.0, 2.0), sign, room_m, seen_from_m
        self.whereabouts, self.mission = Whereabouts(), Mission()
        self.now_s, self.driven, self.turned = 0.0, 0.0, 0.0
        self.steps, self.motion, self.look = [], None, None
        self.finish = None

    def sees_sign(self, pose):
        bearing = wrap_angle(math.atan2(SIGN[1] - pose.y, SIGN[0] - pose.x) - pose.yaw)
        near = math.hypot(SIGN[0] - pose.x, SIGN[1] - pose.y) < self.seen_from_m
        return self.sign and abs(bearing) < 0.6 and abs(pose.y) < 3.0 and near

    def localize(self):
        if self.sees_sign(self.truth):
            return localized(self.truth, 0.97)
        first = self.truth if abs(self.truth.y) < 3.0 else Pose2(self.truth.x, self.truth.y - 6.0, self.truth.yaw)
        second = Pose2(first.x, first.y + 6.0, first.yaw)
        # Where the sign would be seen from the first room and is not, the first room is out.
        return localized(second, 0.97) if self.sees_sign(first) else localized(first, 0.9, [(second, 0.9)])

    def point(self):
        return OdometryPoint(round(self.now_s * 1e9), self.odom, self.driven, self.turned)

    def tick(self):
        self.now_s += 0.25
        whereabouts, odometry = self.whereabouts, self.point()
        whereabouts.estimator.advance(odometry)
        if self.motion is None and round(self.now_s * 4) % 4 == 0:
            result = self.localize()
            verdict = None if whereabouts.is_sure else whereabouts.consider(result, odometry, FRONT)
            whereabouts.settle(result, odometry, verdict)
            self.look = self.wish(verdict)
        wish = None if self.look is None else self.odom.inverse() @ self.look
        sure = whereabouts.estimator.state is TrackState.TRACKING
        pose = whereabouts.estimator.estimate_at(odometry).map_from_base if sure else None
        ending, self.motion = self.motion, None
        if ending is not None:
            self.carry_out(self.mission.handle(BehaviorEnded(ending)))
        fix = Fix.GOOD if sure else Fix.LOST
        self.carry_out(self.mission.handle(Tick(self.now_s, pose, fix, driven_m=self.driven, look=wish, room_ahead_m=self.room_m)))

    def wish(self, verdict):
        """What `looking` would say: towards the sign, and nearer to it if it cannot be read from here."""
        if verdict is None or not verdict.is_ambiguous or not self.sign:
            return None
        first = next(h.estimate.map_from_base for h in verdict.hypotheses if abs(h.estimate.map_from_base.y) < 3.0)
        away = math.hypot(SIGN[0] - first.x, SIGN[1] - first.y)
        bearing = wrap_angle(math.atan2(SIGN[1] - first.y, SIGN[0] - first.x) - first.yaw)
        turned = self.odom @ Pose2(0.0, 0.0, bearing)
        return turned if abs(bearing) > 0.5 or away < self.seen_from_m else turned @ Pose2(1.0, 0.0, 0.0)

    def carry_out(self, commands):
        for command in commands:
            match command:
                case FetchMap():
                    self.carry_out(self.mission.handle(MapReady()))
                case FindGoal():
                    self.carry_out(self.mission.handle(GoalSearched(Search.FOUND, (SOFA,))))
                case Spin(angle):
                    self.move(Pose2(0.0, 0.0, angle))
                case Advance(distance):
                    assert distance < self.room_m
                    self.move(Pose2(distance, 0.0, 0.0))
                case Finish():
                    self.finish = command
                case PlanRoute():
                    self.steps.append(command)

    def move(self, step):
        self.steps.append(step)
        self.truth, self.odom = self.truth @ step, self.odom @ step
        self.driven, self.turned = self.driven + abs(step.x), self.turned + abs(step.yaw)
        self.motion = Motion.SUCCEEDED

    def run(self, limit_s=400.0):
        while self.finish is None and not any(isinstance(s, PlanRoute) for s in self.steps) and self.now_s < limit_s:
            self.tick()

    def error_m(self):
        return self.whereabouts.estimator.estimate_at(self.point()).map_from_base.distance_to(self.truth)


@pytest.mark.parametrize("room", [0.0, 6.0])
def test_two_identical_rooms_are_told_apart_by_the_one_sign(room):
    world = TwoRooms(Pose2(0.5, room, math.pi))
    world.run()
    assert isinstance(world.steps[-1], PlanRoute) and world.error_m() < 0.1
    assert 1 <= len(world.steps) - 1 <= 3  # straight to where the rooms differ
    assert all(step.x == 0.0 for step in world.steps[:-1])


def test_nothing_is_committed_before_the_look():
    world = TwoRooms(Pose2(0.5, 0.0, math.pi))
    while not world.steps:
        world.tick()
        assert world.whereabouts.estimator.map_from_odom is None
    assert world.now_s >= world.mission.config.look_after_s


@pytest.mark.parametrize("room", [0.0, 6.0])
def test_a_sign_too_far_to_read_is_driven_to(room):
    world = TwoRooms(Pose2(0.0, room, 0.4), seen_from_m=2.4)
    world.run()
    assert world.error_m() < 0.1 and any(isinstance(s, Pose2) and s.x > 0.3 for s in world.steps)


def test_no_move_without_room_and_rooms_without_a_difference_end_lost():
    for world in (TwoRooms(Pose2(0.0, 6.0, 0.4), seen_from_m=1.0, room_m=0.2), TwoRooms(Pose2(0.0, 0.0, 0.0), sign=False)):
        world.run()
        assert world.finish is not None and world.finish.code is Code.LOST
        assert world.now_s < 200.0 and world.whereabouts.estimator.map_from_odom is None
        assert all(step.x == 0.0 for step in world.steps)


def feed(whereabouts, result, k, driven=0.0):
    odometry = OdometryPoint(k * 10**9, Pose2(driven, 0.0, 0.0), driven)
    whereabouts.estimator.advance(odometry)
    verdict = None if whereabouts.is_sure else whereabouts.consider(result, odometry, FRONT)
    return whereabouts.settle(result, odometry, verdict)


def tracking():
    whereabouts = Whereabouts()
    for k in range(3):
        feed(whereabouts, localized(Pose2(1.0, 2.0, 0.0), 0.99), k)
    assert whereabouts.is_sure
    return whereabouts


def test_a_clear_place_is_believed_after_three_looks_at_standstill():
    whereabouts = Whereabouts()
    reports = [feed(whereabouts, localized(Pose2(1.0, 2.0, 0.0), 0.99), k) for k in range(3)]
    assert [r.outcome for r in reports] == [FixOutcome.PENDING, FixOutcome.PENDING, FixOutcome.STARTED]


def test_what_odometry_foretells_goes_before_a_likelier_look_alike():
    whereabouts = tracking()
    report = feed(whereabouts, localized(Pose2(1.5, 8.0, 0.0), 0.95, [(Pose2(1.5, 2.0, 0.0), 0.6)]), 4, driven=0.5)
    assert report.outcome is FixOutcome.ACCEPTED and whereabouts.is_sure
    assert feed(whereabouts, lost([(Pose2(1.5, 2.0, 0.0), 0.6)]), 5, driven=0.5).outcome is FixOutcome.ACCEPTED
    assert feed(whereabouts, lost([(Pose2(1.5, 8.0, 0.0), 0.6)]), 6, driven=0.5) is None


def test_a_robot_that_was_carried_away_is_found_anew():
    whereabouts = tracking()
    outcomes = [feed(whereabouts, localized(Pose2(7.0, -3.0, 1.0), 0.99), k).outcome for k in range(4, 7)]
    assert outcomes == [FixOutcome.OUTLIER, FixOutcome.OUTLIER, FixOutcome.KIDNAPPED]
    assert whereabouts.is_sure


def test_endless_contradiction_ends_the_belief():
    whereabouts = tracking()
    config = WhereaboutsConfig()
    for k in range(config.max_contradictions):
        assert whereabouts.estimator.state is TrackState.TRACKING
        feed(whereabouts, localized(Pose2(5.0 * k, -7.0 * (k % 2), 0.5 * k), 0.9), 4 + k)
    assert whereabouts.estimator.state is TrackState.LOST
    outcomes = [feed(whereabouts, localized(Pose2(3.0 + k, 3.0, 0.0), 0.99), 20 + k, driven=k).outcome for k in range(6)]
    assert FixOutcome.RECOVERED in outcomes


@pytest.mark.parametrize("yaw", [0.0, 2.0])
def test_free_ways_know_walls_gaps_and_what_the_lidar_does_not_see(yaw):
    angles = -math.pi + 2.0 * math.pi * np.arange(720) / 720
    with np.errstate(divide="ignore"):
        ranges = np.where(np.cos(angles) > 1e-3, 2.0 / np.cos(angles), np.inf)  # a wall 2 m ahead
    ranges[np.abs(angles - 2.8) < 0.2] = np.nan
    scan = LaserScan(0, "lidar", ranges.astype(np.float32), -math.pi, 2.0 * math.pi / 720, 0.1, 10.0)
    ways = free_ways(scan, Pose2(0.1, 0.0, yaw), np.array([0.0, math.pi / 2, 2.8]) + yaw, 0.3, 0.25)
    ahead = 2.0 + 0.1 * math.cos(yaw) - 0.25
    assert ways[0] == pytest.approx(ahead, abs=0.03) and ways[1] > 5.0 and ways[2] == 0.0
    half = LaserScan(0, "lidar", ranges[180:540].astype(np.float32), -math.pi / 2, 2.0 * math.pi / 720, 0.1, 10.0)
    assert free_ways(half, Pose2(), np.array([math.pi]), 0.3, 0.25)[0] == 0.0


def all_around():
    return CameraRig(tuple(RigCamera(str(k), FRONT.cameras[0].model, Pose3.from_rpy(0, 0, k * math.pi / 2) @ BODY_FROM_OPTICAL) for k in range(4)))


def test_where_cameras_that_look_all_around_recognise_nothing_the_look_leads_to_room():
    whereabouts, free_m = Whereabouts(), np.full(16, 0.4)
    free_m[4] = 5.0
    look = whereabouts.next_look(None, all_around(), free_m)
    assert look.turn_rad == pytest.approx(math.pi / 2) and look.ahead_m == whereabouts.config.longest_way_m
    assert whereabouts.next_look(None, all_around(), np.full(16, 0.4)) is None and whereabouts.next_look(None, FRONT, free_m) is None
    whereabouts.consider(localized(Pose2(1.0, 2.0, 0.0), 0.9), OdometryPoint(0, Pose2()), all_around())
    assert whereabouts.next_look(None, all_around(), free_m) is None  # one more image will do


def test_turning_shows_nothing_new_to_cameras_that_look_all_around():
    around = all_around()
    likelier = localized(Pose2(1.0, 0.0, 0.0), 0.6, [(Pose2(1.0, 6.0, 0.0), 0.3)])
    weights = []
    for rig in (around, FRONT):
        whereabouts = Whereabouts()
        for k in range(4):
            result = likelier if k == 0 else localized(Pose2(1.0, 0.0, k * 0.8), 0.6, [(Pose2(1.0, 6.0, k * 0.8), 0.3)])
            verdict = whereabouts.consider(result, OdometryPoint(k * 10**9, Pose2(0.0, 0.0, k * 0.8), 0.0, k * 0.8), rig)
        weights.append(verdict.hypotheses[0].weight)
    assert weights[0] < weights[1]
    assert len(whereabouts.suspects(OdometryPoint(9 * 10**9, Pose2(1.0, 0.0, 2.4), 1.0, 2.4))) == 2


def test_a_standing_robot_that_sees_clearly_at_last_is_found_without_moving():
    whereabouts = Whereabouts()
    for k in range(12):
        assert feed(whereabouts, lost([(Pose2(8.0, 1.0, 0.0), 0.3)]), k) is None
    outcomes = [feed(whereabouts, localized(Pose2(1.0, 2.0, 0.0), 0.99), 20 + k).outcome for k in range(3)]
    assert outcomes[-1] is FixOutcome.STARTED
    # The same, where the pose was among the doubtful ones all the time.
    whereabouts = Whereabouts()
    for k in range(12):
        feed(whereabouts, lost([(Pose2(1.0, 2.0, 0.0), 0.3)]), k)
    outcomes = [feed(whereabouts, localized(Pose2(1.0, 2.0, 0.0), 0.99), 20 + k).outcome for k in range(4)]
    assert FixOutcome.STARTED in outcomes
