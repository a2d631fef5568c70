import math

import pytest

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.navigation.history import PoseHistory


def filled() -> PoseHistory:
    history = PoseHistory(keep_s=1.0)
    for i in range(200):
        history.add(i * 20_000_000, Pose2(0.01 * i, 0.0, 3.1 + 0.01 * i), 0.5, 0.5)
    return history


def test_poses_between_stamps_are_interpolated_across_the_angle_wrap() -> None:
    pose = filled().at(199 * 20_000_000 - 10_000_000)
    assert pose.x == pytest.approx(1.985)
    assert math.cos(pose.yaw) == pytest.approx(math.cos(3.1 + 1.985))


def test_a_moment_ahead_the_last_twist_carries_on() -> None:
    history = filled()
    newest_ns, newest = history.newest
    assert history.at(newest_ns + 100_000_000).distance_to(newest @ Pose2.exp(0.05, 0.0, 0.05)) < 1e-9


def test_stamps_outside_are_refused_with_the_distance() -> None:
    history = filled()
    with pytest.raises(BadInputError, match=r"ends 1\.000 s before"):
        history.at(history.newest[0] + 10**9)
    with pytest.raises(BadInputError, match="begins"):
        history.at(0)
    with pytest.raises(BadInputError, match="no odometry"):
        PoseHistory().at(0)


def test_old_poses_are_forgotten_and_a_jump_back_starts_again() -> None:
    history = filled()
    assert len(history) < 70
    assert not history.add(5, Pose2(), 0.0, 0.0)
    assert len(history) == 1


def test_a_pose_that_leaps_starts_again() -> None:
    history = filled()
    newest_ns, _newest = history.newest
    assert not history.add(newest_ns + 20_000_000, Pose2(), 0.0, 0.0)
    assert history.newest[1] == Pose2()
    assert history.add(newest_ns + 40_000_000, Pose2(0.01, 0.0, 0.0), 0.5, 0.0)
