import math

import pytest

from astra.fusion.smoothing import JumpSmoother, SmoothingConfig
from astra.geometry import Pose2

FAR = Pose2(40.0, 30.0, 1.0)  # where the robot is in odom: a turn of map→odom alone would throw it far


def test_a_correction_is_spread_at_bounded_speed_where_the_robot_is_and_arrives():
    smoother = JumpSmoother(SmoothingConfig(enabled=True))
    before = Pose2(1.0, 2.0, 0.3)
    after = (before @ FAR @ Pose2(0.2, 0.1, 0.1)) @ FAR.inverse()
    shown = smoother.follow(before, FAR, 0.0)
    for _ in range(40):
        following = smoother.follow(after, FAR, 0.04)
        assert (shown @ FAR).distance_to(following @ FAR) <= 0.25 * 0.04 + 1e-9
        shown = following
    assert (shown @ FAR).distance_to(after @ FAR) < 1e-9 and shown.yaw == pytest.approx(after.yaw)


@pytest.mark.parametrize(("enabled", "jump"), [(True, Pose2(3.0, 0.0, 0.0)), (True, Pose2(0.0, 0.0, math.pi / 2)), (False, Pose2(0.1, 0.0, 0.0))])
def test_being_carried_away_is_shown_at_once_and_so_is_everything_without_the_option(enabled, jump):
    smoother = JumpSmoother(SmoothingConfig(enabled=enabled))
    smoother.follow(Pose2(), Pose2(), 0.0)
    shown = smoother.follow(jump, Pose2(), 0.04)
    assert (shown.x, shown.y, shown.yaw) == pytest.approx((jump.x, jump.y, jump.yaw))
