"""Periods and ages of the running stack, in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from astra.evaluation.realtime import Heard, command_ages, figures, path_periods

NONE = np.zeros(0)


def heard(ends: np.ndarray = NONE) -> Heard:
    """Ten seconds on a machine half as fast as real time: a path each 0.2 s, stamped 0.05 s (simulated) before; a command 0.1 s after each path."""
    sent = 100.0 + 0.2 * np.arange(51)
    simulated, odometry = 0.5 * (sent - 100.0), 100.0 + 0.02 * np.arange(501)
    commands = np.column_stack([sent[:-1] + 0.1, np.full(50, 0.3), np.zeros(50)])
    return Heard(
        np.column_stack([sent, simulated - 0.05]),
        np.column_stack([odometry, 0.5 * (odometry - 100.0) - 0.01]),
        commands,
        np.column_stack([sent, simulated]),
        ends,
        {"a": 0.5, "b": 0.25},
        7.0,
    )


def test_figures() -> None:
    values = {result.name: result.value for result in figures(heard())}
    assert values["local_path_period_p99"] == pytest.approx(0.2)
    assert values["odometry_rate"] == pytest.approx(50.0)
    assert values["odometry_age_p99"] == pytest.approx(0.01)
    assert values["image_to_command_age_p95"] == pytest.approx(0.1)  # 0.05 when sent, and 0.1 real seconds later
    assert values["simulated_per_real_second"] == pytest.approx(0.5)
    assert (values["stack_cpu"], values["start_to_first_pose"]) == (0.75, 7.0)


def test_between_missions_no_path_is_owed() -> None:
    sent = np.array([0.0, 0.1, 0.2, 1.7, 1.8])
    assert path_periods(sent, NONE).max() == pytest.approx(1.5)
    assert path_periods(sent, np.array([0.9])) == pytest.approx([0.1, 0.1, 0.1])
    assert len(command_ages(heard(np.array([100.05])))) == 49  # the first command follows a path of a mission that has ended


def test_a_standing_robot_has_no_ages() -> None:
    seen = heard()
    still = Heard(seen.paths, seen.odometry, 0.0 * seen.commands, seen.clock, seen.ends, seen.cores, seen.first_pose_s)
    assert len(command_ages(still)) == 0
    assert "image_to_command_age_p95" not in {result.name for result in figures(still)}
