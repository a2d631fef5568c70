import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astra.evaluation.mission import GoalRegion, LocalizationEvent, MissionLog, TruthTrack, judge, localization_errors
from astra.evaluation.shortest import shortest_path_m
from astra.geometry import Pose2

SQUARE = np.array([[4.0, -1.0], [6.0, -1.0], [6.0, 1.0], [4.0, 1.0]])
LOUNGE = GoalRegion("lounge", SQUARE)
WORLD_FROM_MAP = Pose2(1.0, 0.0, 0.0)


def drive(to_x: float, *, still: bool = True) -> TruthTrack:
    """A straight drive along x from the origin within ten seconds."""
    x = np.linspace(0.0, to_x, 101)
    speeds = np.full(101, to_x / 10.0)
    if still:
        speeds[-1] = 0.0
    return TruthTrack(np.arange(101) * 100_000_000, np.stack([x, 0 * x, 0 * x], axis=1), speeds)


def log(**changes: object) -> MissionLog:
    base = MissionLog(
        seed=1, world="office", instruction="find the resting area", started_ns=0, ended_ns=10_000_000_000,
        truth=drive(5.0), contacts_ns=(),
        localizations=(
            LocalizationEvent(1_000_000_000, "lost", 0.0, None),
            LocalizationEvent(2_000_000_000, "localized", 0.9, Pose2(0.1, 0.0, 0.1)),
        ),
        goal_status="found", map_from_goal=Pose2(4.0, 0.0, 0.0), error_code=0, error_msg="", fallbacks=0,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_robot_that_stops_in_the_region_has_arrived() -> None:
    result = judge(log(), [LOUNGE], WORLD_FROM_MAP, 4.0)
    assert result.success
    assert result.goal_error_m == 0.0
    assert result.distance_m == pytest.approx(5.0)
    assert result.localized_after_s == pytest.approx(2.0)
    assert result.localization_error_m == pytest.approx(0.1)  # at 2 s the robot is at x = 1.0 and says 1.1
    assert result.localization_error_deg == pytest.approx(math.degrees(0.1))


@pytest.mark.parametrize(
    ("changes", "arrived"),
    [
        ({"truth": drive(3.6)}, True),  # within half a metre of the region
        ({"truth": drive(3.4)}, False),
        ({"truth": drive(5.0, still=False)}, False),
    ],
)
def test_arrival_is_near_the_region_and_standing(changes: dict[str, object], arrived: bool) -> None:
    result = judge(log(**changes), [LOUNGE], WORLD_FROM_MAP, 4.0)
    assert result.arrived == arrived
    assert result.success == arrived


def test_success_claimed_elsewhere_is_an_error() -> None:
    assert judge(log(truth=drive(1.0)), [LOUNGE], WORLD_FROM_MAP, 4.0).errors


def test_a_collision_spoils_the_mission_and_fault_needs_motion() -> None:
    moving = judge(log(contacts_ns=(5_000_000_000,)), [LOUNGE], WORLD_FROM_MAP, 4.0)
    assert (moving.success, moving.collisions, moving.collisions_at_fault) == (False, 1, 1)
    parked = drive(5.0)
    parked.speeds_mps[:] = 0.0
    assert judge(log(truth=parked, contacts_ns=(5_000_000_000,)), [LOUNGE], WORLD_FROM_MAP, 4.0).collisions_at_fault == 0


def test_the_unanswerable_wants_not_found_and_no_motion() -> None:
    unanswered = log(goal_status="not_found", error_code=3, truth=drive(0.0))
    assert judge(unanswered, [], WORLD_FROM_MAP, math.nan).success
    assert not judge(replace(unanswered, truth=drive(1.0)), [], WORLD_FROM_MAP, math.nan).success
    assert not judge(replace(unanswered, goal_status="found"), [], WORLD_FROM_MAP, math.nan).success


def test_result_json_has_the_contract_keys_and_no_nan(tmp_path: Path) -> None:
    judge(log(localizations=()), [LOUNGE], WORLD_FROM_MAP, 4.0).save(tmp_path / "result.json")
    document = json.loads((tmp_path / "result.json").read_text(), parse_constant=lambda c: pytest.fail(c))
    assert document["localization_error_m"] is None
    keys = "success seed world instruction localized_after_s localization_error_m goal_status goal_error_m distance_m shortest_m"
    assert {*keys.split(), "collisions", "duration_s", "fallbacks", "errors"} <= set(document)


def test_only_localized_events_are_measured() -> None:
    assert localization_errors(log(), WORLD_FROM_MAP).shape == (1, 3)


def test_shortest_path_goes_around_a_wall() -> None:
    free = np.ones((100, 100), dtype=bool)
    free[0:80, 50:52] = False  # a wall from the bottom up to y = 8
    goal = np.array([[8.9, 0.9], [9.1, 0.9], [9.1, 1.1], [8.9, 1.1]])
    length = shortest_path_m(free, 0.1, (0.0, 0.0), (1.0, 1.0), goal, radius_m=0.2)
    tight = math.hypot(4.0, 7.0) + 0.2 + math.hypot(3.8, 7.0)  # a string around the wall's end
    assert tight - 0.2 < length < tight * 1.06
    free[:, 50:52] = False
    assert math.isinf(shortest_path_m(free, 0.1, (0.0, 0.0), (1.0, 1.0), goal, radius_m=0.2))


def test_shortest_path_in_the_open_is_straight_within_the_grid_metric() -> None:
    free = np.ones((100, 100), dtype=bool)
    goal = np.array([[8.0, 5.0], [8.2, 5.0], [8.2, 5.2], [8.0, 5.2]])
    assert shortest_path_m(free, 0.1, (0.0, 0.0), (1.0, 1.0), goal, 0.2) == pytest.approx(math.hypot(7.0, 4.0), rel=0.04)
