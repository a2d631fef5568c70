import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.core.errors import ConfigError
from astra.core.types import LaserScan
from astra.geometry import Pose3, wrap_angle
from astra.navigation.recovery import Recovery, RecoveryConfig, RecoveryLadder, edges_near, widest_gap
from astra.topomap.types import Edge, MapInfo, Node, TopoMap


def scan(ranges: np.ndarray, first: float = -math.pi) -> LaserScan:
    return LaserScan(0, "lidar", ranges.astype(np.float32), first, 2.0 * math.pi / 360.0, 0.1, 10.0)


def test_the_ladder_is_climbed_in_order_and_once_more_after_each_reroute() -> None:
    ladder = RecoveryLadder(RecoveryConfig(reroutes=1))
    climb = [Recovery.RETRY, Recovery.SPIN, Recovery.BACK_UP]
    assert [ladder.next() for _ in range(8)] == [*climb, Recovery.REROUTE, *climb, Recovery.GIVE_UP]
    assert ladder.count == 7


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=200), st.integers(0, 20))
def test_the_number_of_recoveries_is_bounded_whatever_is_reported(reports: list[bool], bound: int) -> None:
    ladder = RecoveryLadder(RecoveryConfig(max_recoveries=bound))
    for progressed in reports:
        if progressed:
            ladder.progressed()
        ladder.next()
    assert ladder.count <= bound
    if len(reports) > bound:
        assert ladder.next() is Recovery.GIVE_UP


@pytest.mark.parametrize("heading", [-2.5, -1.0, 0.0, 1.57, 3.1])
def test_the_widest_gap_is_found_wherever_it_is(heading: float) -> None:
    angles = -math.pi + np.arange(360) * 2.0 * math.pi / 360.0
    ranges = np.full(360, 0.5)
    ranges[np.abs((angles - heading + math.pi) % (2.0 * math.pi) - math.pi) < 0.5] = 3.0
    found = widest_gap(scan(ranges))
    assert found is not None
    assert abs(wrap_angle(found - heading)) < 0.21  # anywhere in the gap's middle


@settings(deadline=None)
@given(st.floats(-3.0, 3.0))
def test_turning_the_lidar_on_the_robot_turns_the_gap(mounting: float) -> None:
    ranges = np.full(360, 0.5)
    ranges[100:130] = 2.0
    ranges[115] = 2.5
    plain = widest_gap(scan(ranges), half_width_rad=0.2)
    turned = widest_gap(scan(ranges), mounting, half_width_rad=0.2)
    assert plain is not None and turned is not None
    assert abs(wrap_angle(turned - plain - mounting)) < 0.2


def test_a_narrow_slit_is_no_gap_and_free_space_needs_no_turn() -> None:
    ranges = np.full(360, 1.0)
    ranges[300:304] = 8.0
    ranges[90:150] = 2.0
    found = widest_gap(scan(ranges))
    assert found is not None
    assert math.radians(90 - 180) < found < math.radians(150 - 180)
    assert widest_gap(scan(np.full(360, np.inf))) == pytest.approx(0.0, abs=0.02)


def test_a_scan_without_measurements_has_no_gap() -> None:
    assert widest_gap(scan(np.full(360, np.nan))) is None
    assert widest_gap(scan(np.zeros(2))) is None


def graph() -> TopoMap:
    nodes = {i: Node(i, 0, Pose3(np.eye(3), np.array([x, y, 0.0])), ()) for i, (x, y) in enumerate([(0, 0), (2, 0), (4, 0), (2, 2)])}
    edges = (Edge(0, 1, 2.0), Edge(1, 2, 2.0), Edge(1, 3, 2.0), Edge(0, 3, 2.8))
    return TopoMap(MapInfo("m", "given"), {}, nodes, edges, {})


def test_edges_near_a_point_are_those_that_pass_it() -> None:
    assert edges_near(graph(), np.array([[1.0, 0.1]]), 0.5) == {(0, 1)}
    assert edges_near(graph(), np.array([[2.0, 0.0]]), 0.3) == {(0, 1), (1, 2), (1, 3)}
    assert edges_near(graph(), np.array([[1.0, 0.0], [3.0, 0.0]]), 0.5) == {(0, 1), (1, 2)}
    assert edges_near(graph(), np.zeros((0, 2)), 0.5) == frozenset()
    assert edges_near(graph(), np.array([[50.0, 50.0]]), 1.0) == frozenset()


@pytest.mark.parametrize(("name", "value"), [("retries", -1), ("back_up_m", 0.0), ("max_recoveries", -1), ("default_spin_rad", 4.0)])
def test_bad_recovery_limits_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        RecoveryConfig(**{name: value})
