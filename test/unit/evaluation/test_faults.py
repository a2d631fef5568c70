"""The judge of faults: what counts as stopped, as moving on stale data, as going on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.evaluation.faults import mllm, report
from astra.evaluation.faults.fault import Expect, Fault
from astra.evaluation.faults.judge import Watched, judge
from astra.evaluation.faults.table import FAULTS

STANDS = Fault("lidar", "no scan", "sensors", (), Expect.STANDS, "stops", "gate", zero_s=0.5, stop_s=1.2, hold_s=4.0)
DRIVES = Fault("camera", "no picture", "sensors", (), Expect.DRIVES, "goes on", "global")


def seen(stop_at_s: float, *, creep_mps: float = 0.0, **other: object) -> Watched:
    """Half a metre a second until `stop_at_s`, then creeping; commands as the motion, at 20 Hz; the fault from 0 to 4 s."""
    times = np.arange(-1.0, 5.0, 0.02)
    speed = np.where(times < stop_at_s, 0.5, creep_mps)
    x = np.concatenate([[0.0], np.cumsum(speed[:-1] * np.diff(times))])
    still = np.zeros_like(times)
    truth = np.stack([times, x, still, still, speed, still], axis=1)
    commands = truth[::3, [0, 4, 5]]
    values = {"began_s": 0.0, "ended_s": 4.0, "driving_s": 4.5, "arrived": False, "back_s": math.nan, "collisions": 0, "restarts": 0, "load": 1.0}
    return Watched(truth=truth, commands=commands, **(values | other))  # type: ignore[arg-type]


def test_a_robot_that_stops_in_time_passes_and_its_times_are_told() -> None:
    outcome = judge(STANDS, seen(0.4))
    assert outcome.passed, outcome.why
    assert outcome.stopped_s == pytest.approx(0.4, abs=0.03)
    assert outcome.command_zero_s == pytest.approx(0.4, abs=0.07)
    assert outcome.recovered_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("watched", "named"),
    [
        (seen(0.8), "commanded to stop after"),
        (seen(9.0), "stopped after inf"),
        (seen(0.4, creep_mps=0.015), "while it had to stand"),
        (seen(0.4, collisions=1), "1 collisions"),
        (seen(0.4, driving_s=math.nan), "drove again after nan"),
        (seen(0.4, complaints=("astra_local was given up",)), "given up"),
    ],
)
def test_every_broken_promise_is_named(watched: Watched, named: str) -> None:
    outcome = judge(STANDS, watched)
    assert not outcome.passed
    assert named in outcome.why


def test_a_mission_that_must_go_on_may_not_stand_unless_it_arrived() -> None:
    assert judge(DRIVES, seen(9.0)).passed
    assert "stood still" in judge(DRIVES, seen(-0.5)).why
    assert judge(DRIVES, seen(-0.5, arrived=True)).passed


def test_a_killed_node_has_its_own_limit() -> None:
    kill = Fault("kill", "a node dies", "kill", ("x",), Expect.EITHER, "comes back", "supervisor", back_s=5.0)
    assert judge(kill, seen(9.0, back_s=4.9)).passed
    assert "back after 5.1 s" in judge(kill, seen(9.0, back_s=5.1)).why
    assert "back after inf s" in judge(kill, seen(9.0, back_s=math.inf)).why


def test_outcomes_survive_the_file_and_a_line_that_was_cut_off(tmp_path: Path) -> None:
    outcome = judge(STANDS, seen(9.0, driving_s=math.nan))
    report.append(tmp_path, outcome)
    with (tmp_path / report.EPISODES).open("a") as file:
        file.write('{"name": "camera", "pas')
    (again,) = report.load(tmp_path).values()
    assert again.stopped_s == math.inf
    assert math.isnan(again.recovered_s)
    report.write(tmp_path, (STANDS,), {"lidar": again})
    assert "**no**: commanded to stop" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.how == "mllm"], ids=lambda f: f.name)
def test_a_language_model_that_fails_leads_nowhere(fault: Fault) -> None:
    outcome = mllm.run(fault)
    assert outcome.passed, outcome.why


def test_the_table_has_unlike_names_and_says_what_a_stop_must_take() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) > 35
    with pytest.raises(ConfigError, match="stop_s"):
        Fault("x", "", "", (), Expect.STANDS, "", "")


def test_wheels_brake_in_the_simulators_time_but_the_stack_answers_in_real_time() -> None:
    watched = seen(2.0)
    commands = watched.commands.copy()
    commands[commands[:, 0] >= 0.3, 1:] = 0.0
    half = 0.5 * watched.truth[:, 0]
    slow = judge(STANDS, replace(watched, commands=commands, simulated_s=half))
    assert slow.stopped_s == pytest.approx(0.3 + 0.5 * 1.7, abs=0.05)
    assert slow.passed, slow.why
    assert "2.00 s of real time" in slow.note
    assert not judge(STANDS, replace(watched, commands=commands)).passed
    late = watched.commands.copy()
    late[late[:, 0] >= 0.8, 1:] = 0.0
    assert "commanded to stop after" in judge(STANDS, replace(watched, commands=late, simulated_s=0.1 * watched.truth[:, 0])).why
