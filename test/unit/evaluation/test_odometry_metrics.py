"""Odometry errors against values worked out on paper."""

import math

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.evaluation.odometry_metrics import ate_m, nees, nees_bounds, pair_tracks, relative, stretch_errors, touching
from astra.geometry import Trajectory

STAMPS = np.arange(0, 60_000_000_000, 20_000_000, dtype=np.int64)


def straight(scale: float = 1.0, yaw_per_m: float = 0.0) -> Trajectory:
    """A minute at 1 m/s; the estimate may be too long, or turn its heading without leaving the line."""
    x = STAMPS * 1e-9 * scale
    return Trajectory(STAMPS, np.stack([x, np.zeros_like(x), yaw_per_m * x], axis=1))


def circle(radius_m: float, scale: float = 1.0) -> Trajectory:
    angle = STAMPS * 1e-9 / radius_m
    return Trajectory(STAMPS, np.stack([scale * radius_m * np.sin(angle), scale * radius_m * (1 - np.cos(angle)), angle], axis=1))


def test_a_scale_error_is_its_percentage() -> None:
    errors = stretch_errors(pair_tracks(straight(), straight(scale=1.03)), 10.0)
    assert len(errors.begins) == pytest.approx(50, abs=1)
    assert errors.rte_percent == pytest.approx(3.0, abs=1e-6)
    assert errors.rre_deg_per_10m == pytest.approx(0.0, abs=1e-6)
    # the error grows linearly to 0.3 m: its root mean square is 0.3 / √3
    assert errors.ate_m == pytest.approx(0.3 / math.sqrt(3.0), rel=0.02)


def test_a_heading_that_drifts_is_degrees_for_ten_metres() -> None:
    errors = stretch_errors(pair_tracks(straight(), straight(yaw_per_m=0.01)), 20.0)
    assert errors.rre_deg_per_10m == pytest.approx(math.degrees(0.1), abs=1e-6)


def test_errors_do_not_depend_on_where_the_frames_are() -> None:
    truth, estimate = circle(3.0), circle(3.0, scale=1.01)
    c, s = math.cos(2.0), math.sin(2.0)
    moved = estimate.poses.copy()
    moved[:, :2] = moved[:, :2] @ np.array([[c, -s], [s, c]]).T + [5.0, -7.0]
    moved[:, 2] += 2.0
    here, there = (stretch_errors(pair_tracks(truth, t), 5.0) for t in (estimate, Trajectory(STAMPS, moved)))
    assert np.allclose(here.rte_percent, there.rte_percent)
    assert np.allclose(here.ate_m, there.ate_m)
    assert ate_m(pair_tracks(truth, estimate)) == pytest.approx(ate_m(pair_tracks(truth, Trajectory(STAMPS, moved))))


def test_a_run_that_is_too_short_has_no_stretches() -> None:
    assert len(stretch_errors(pair_tracks(straight(), straight()), 80.0).rte_percent) == 0


def test_standing_still_adds_no_stretches() -> None:
    """Stretches are of way, not of time: a pause changes neither their number nor their errors."""
    x = np.where(STAMPS < 20e9, STAMPS * 1e-9, np.where(STAMPS < 40e9, 20.0, STAMPS * 1e-9 - 20.0))
    truth = Trajectory(STAMPS, np.stack([x, 0 * x, 0 * x], axis=1))
    estimate = Trajectory(STAMPS, np.stack([1.02 * x, 0 * x, 0 * x], axis=1))
    errors = stretch_errors(pair_tracks(truth, estimate), 10.0)
    assert len(errors.rte_percent) == pytest.approx(30, abs=1)
    assert errors.rte_percent == pytest.approx(2.0, abs=1e-6)


def test_stretches_that_meet_an_event_are_found() -> None:
    pair = pair_tracks(straight(), straight())
    errors = stretch_errors(pair, 5.0)
    hit = touching(errors, pair.stamps_ns, np.array([[30_000_000_000, 31_000_000_000]]))
    assert hit.sum() == pytest.approx(7, abs=1)  # those that begin between 25 and 31 m
    assert not touching(errors, pair.stamps_ns, np.zeros((0, 2), dtype=np.int64)).any()


def test_relative_is_the_inverse_composed() -> None:
    a, b = np.array([1.0, 2.0, 0.5]), np.array([-3.0, 1.0, 3.0])
    assert relative(a, a) == pytest.approx([0.0, 0.0, 0.0])
    assert relative(np.zeros(3), b) == pytest.approx(b)
    step = relative(a, b)
    c, s = math.cos(a[2]), math.sin(a[2])
    assert [a[0] + c * step[0] - s * step[1], a[1] + s * step[0] + c * step[1]] == pytest.approx(b[:2])


def test_nees_of_honest_errors_lies_within_its_bounds() -> None:
    rng = np.random.default_rng(5)
    root = rng.standard_normal((200, 3, 3)) + 2 * np.eye(3)
    covariance = root @ root.transpose(0, 2, 1)
    error = np.einsum("kij,kj->ki", root, rng.standard_normal((200, 3)))
    low, high = nees_bounds(200, 0.999)
    assert low < nees(error, covariance).mean() < high
    assert nees(2.0 * error, covariance).mean() > high
    assert nees(0.5 * error, covariance).mean() < low


def test_tracks_of_different_times_are_bad_input() -> None:
    late = Trajectory(STAMPS + 10**12, straight().poses)
    with pytest.raises(BadInputError, match="overlap"):
        pair_tracks(straight(), late)
