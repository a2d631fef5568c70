import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from astra.geometry import BODY_FROM_OPTICAL, Pose2, Pose3, wrap_angle

coordinate = st.floats(-100, 100)
angle = st.floats(-10, 10)
poses = st.builds(Pose2, coordinate, coordinate, angle)


@settings(deadline=None)
@given(poses)
def test_a_planar_pose_times_its_inverse_is_the_identity(pose: Pose2) -> None:
    unit = pose @ pose.inverse()
    assert math.hypot(unit.x, unit.y) < 1e-9
    assert abs(unit.yaw) < 1e-9


@settings(deadline=None)
@given(poses, poses)
def test_planar_and_spatial_composition_agree(a: Pose2, b: Pose2) -> None:
    planar = a @ b
    spatial = (Pose3.from_pose2(a) @ Pose3.from_pose2(b)).pose2()
    assert planar.distance_to(spatial) < 1e-9
    assert abs(wrap_angle(planar.yaw - spatial.yaw)) < 1e-9


@settings(deadline=None)
@example(0.0, 1.0, 1.192092896e-07, 5)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-3, 3), st.integers(2, 50))
def test_a_constant_twist_composes_to_its_exponential(dx: float, dy: float, dyaw: float, n: int) -> None:
    pose = Pose2()
    for _ in range(n):
        pose = pose @ Pose2.exp(dx / n, dy / n, dyaw / n)
    whole = Pose2.exp(dx, dy, dyaw)
    assert pose.distance_to(whole) < 1e-9
    assert abs(wrap_angle(pose.yaw - whole.yaw)) < 1e-9


@settings(deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(-1.5, 1.5), st.floats(-3.1, 3.1))
def test_quaternions_round_trip(roll: float, pitch: float, yaw: float) -> None:
    pose = Pose3.from_rpy(roll, pitch, yaw, (1.0, 2.0, 3.0))
    q = pose.quaternion_xyzw()
    assert np.linalg.norm(q) == pytest.approx(1.0)
    again = Pose3.from_quaternion(q * 3.0, pose.translation)
    np.testing.assert_allclose(again.rotation, pose.rotation, atol=1e-12)
    assert pose.angle_to(again) < 1e-6


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_have_well_conditioned_quaternions(axis: int) -> None:
    rotation = -np.eye(3)
    rotation[axis, axis] = 1.0
    q = Pose3(rotation, np.zeros(3)).quaternion_xyzw()
    np.testing.assert_allclose(np.abs(q), np.eye(4)[axis], atol=1e-12)


def test_points_transform_as_the_frames_say() -> None:
    map_from_base = Pose2(1.0, 2.0, math.pi / 2)
    np.testing.assert_allclose(map_from_base.apply(np.array([[1.0, 0.0]])), [[1.0, 3.0]], atol=1e-12)
    # REP-103: one metre ahead in the optical frame is one metre along the body's x axis.
    np.testing.assert_allclose(BODY_FROM_OPTICAL.apply(np.array([0.0, 0.0, 1.0])), [1.0, 0.0, 0.0])


@pytest.mark.parametrize(("angle_rad", "wrapped"), [(3 * math.pi, math.pi), (-math.pi, math.pi), (2 * math.pi, 0.0), (0.5, 0.5)])
def test_wrap_angle(angle_rad: float, wrapped: float) -> None:
    assert wrap_angle(angle_rad) == pytest.approx(wrapped)
