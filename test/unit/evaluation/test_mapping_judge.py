"""A map that is the truth has no error; one with a torn-off half has, and it is a silent failure only if the map says that it is consistent."""

import math

import numpy as np
import pytest

from astra.evaluation.mapping.judge import is_consistent, is_silent_failure, is_within_target, map_errors
from astra.evaluation.mapping.standing import distance_to_obstacles, is_walked, judge_standing
from astra.geometry import Pose2, Pose3, Similarity, Trajectory
from astra.sim.worlds.truth import WorldTruth
from astra.topomap import MapInfo, Node, TopoMap
from astra.topomap.audit import FragmentAudit, MapAudit, Verdict

WORLD_FROM_MAP = Pose2(3.0, -2.0, 0.7)
PATH = [Pose2(4 * math.cos(a), 3 * math.sin(a), a) for a in np.linspace(0, 5, 40)]  # in the map
TRUTH = Trajectory(np.arange(40) * 10**9, np.array([(p.x, p.y, p.yaw) for p in (WORLD_FROM_MAP @ q for q in PATH)]))


def topo(*, scale=1.0, torn_by=0.0, fragments=(40,), verdicts=None, whole=Verdict.CONSISTENT, source="odometry"):
    """The path as a map of fragments of so many nodes; the second half is moved sideways by `torn_by` metres."""
    numbers = [k for k, size in enumerate(fragments) for _ in range(size)]
    nodes = {}
    for k, (pose, fragment) in enumerate(zip(PATH, numbers)):
        moved = Pose2(scale * pose.x + (torn_by if k >= 20 else 0.0), scale * pose.y, pose.yaw)
        nodes[k] = Node(k, k * 10**9, Pose3.from_pose2(moved), (), (), fragment)
    audit = MapAudit(whole, (), tuple(FragmentAudit(n, v) for n, v in zip(fragments, verdicts or [whole] * len(fragments))))
    return TopoMap(MapInfo("test", source, audit=audit), {}, nodes, (), {})


def test_the_truth_has_no_error_wherever_the_map_begins():
    (errors,) = map_errors(topo(), TRUTH)
    assert errors.ate_m < 1e-9 and errors.scale == pytest.approx(1.0)
    assert is_within_target([errors], "office") and not is_silent_failure(topo(), [errors])


def test_wrong_metres_are_an_error_unless_the_map_says_that_it_has_none():
    (metric,), (unknown,) = map_errors(topo(scale=1.1), TRUTH), map_errors(topo(scale=1.1, source="unknown"), TRUTH)
    assert metric.ate_m > 0.2 and metric.ate_sim3_m < 1e-9 and metric.scale == pytest.approx(1 / 1.1)
    assert unknown.ate_m < 1e-9


def test_a_torn_map_fails_silently_only_if_it_calls_itself_consistent():
    torn = topo(torn_by=3.0)
    errors = map_errors(torn, TRUTH)
    assert errors[0].worst_m > 0.5 and errors[0].worst_node in torn.nodes
    assert is_silent_failure(torn, errors) and is_consistent(torn)
    doubtful = topo(torn_by=3.0, whole=Verdict.DOUBTFUL)
    assert not is_silent_failure(doubtful, errors) and not is_consistent(doubtful)


def test_a_bad_fragment_must_not_be_called_consistent_either():
    verdicts = [Verdict.CONSISTENT, Verdict.DOUBTFUL]
    torn = topo(torn_by=3.0, fragments=(30, 10), verdicts=verdicts, whole=Verdict.DOUBTFUL)
    assert is_silent_failure(torn, map_errors(torn, TRUTH))  # the first 30 nodes hold the tear
    cut = topo(torn_by=3.0, fragments=(20, 20), verdicts=verdicts, whole=Verdict.DOUBTFUL)
    assert not is_silent_failure(cut, map_errors(cut, TRUTH))


def test_a_map_cut_at_the_tear_is_exact_in_both_parts():
    errors = map_errors(topo(torn_by=3.0, fragments=(20, 20)), TRUTH)
    assert [e.fragment for e in errors] == [0, 1] and max(e.worst_m for e in errors) < 1e-9


def test_two_nodes_are_laid_over_the_truth_by_the_first_one():
    errors = map_errors(topo(fragments=(38, 2)), TRUTH)
    assert errors[1].worst_m < 1e-6


def test_a_whole_warehouse_may_be_off_by_more():
    (errors,) = map_errors(topo(scale=1.05), TRUTH)
    assert 0.1 < errors.ate_m < 0.3
    assert is_within_target([errors], "warehouse") and not is_within_target([errors], "office")
    assert not is_within_target([errors, errors], "warehouse")


def room() -> WorldTruth:
    free = np.zeros((100, 100), bool)
    free[2:98, 2:98] = True
    return WorldTruth((), (), np.zeros((0, 2)), Pose2(), free, 0.05, (0.0, 0.0))


def test_marks_of_walls_are_none_of_ghosts():
    wall = np.array([(0.05, y) for y in np.linspace(0.2, 4.8, 20)])
    ghosts = np.array([(2.5, 2.5), (2.5, 2.6), (1.0, 4.0)])
    in_map = np.concatenate([wall, ghosts]) - [1.0, 2.0]
    there = Similarity(1.0, np.eye(3), np.array([1.0, 2.0, 0.0]))
    movers = np.array([[(2.4, 2.4, 0.25)], [(2.4, 2.0, 0.25)]])
    found = judge_standing(in_map, there, room(), movers)
    assert (found.occupied, found.ghosts, found.ghosts_of_movers) == (23, 3, 2)


def test_outside_of_the_world_there_are_walls():
    distances = distance_to_obstacles(np.array([(-3.0, 0.0), (2.5, 2.5), (9.0, 9.0)]), room().free, (0.0, 0.0), 0.05)
    assert distances[0] == distances[2] == 0.0 and distances[1] == pytest.approx(2.4, abs=0.06)


def test_nobody_walked_where_nobody_is():
    assert not is_walked(np.zeros((3, 2)), np.zeros((0, 0, 3))).any()
