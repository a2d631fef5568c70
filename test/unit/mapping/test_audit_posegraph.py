"""Loops that odometry and the other loops speak against are switched off, true ones stay on."""

import itertools
import math

import numpy as np
import pytest

from astra.geometry import Pose2
from astra.mapping.audit.posegraph import PlanarEdge, switch_loops


def rounds(laps=3, side=15, step=0.5):
    """A square driven several times."""
    poses, pose = [], Pose2()
    for _ in range(laps * 4):
        for k in range(side):
            poses.append(pose)
            pose = pose @ Pose2(step, 0.0, math.pi / 2 if k == side - 1 else 0.0)
    return poses


def odometry(truth, rng):
    out = []
    for k, (a, b) in enumerate(itertools.pairwise(truth)):
        d = a.inverse() @ b
        out.append(PlanarEdge(k, k + 1, Pose2(d.x * 1.01 + 0.005 * rng.normal(), 0.003 * rng.normal(), d.yaw * 1.005 + 0.001 + 0.003 * rng.normal())))
    return out


def revisit(truth, a, b, rng):
    d = truth[a].inverse() @ truth[b]
    return PlanarEdge(a, b, Pose2(d.x + 0.03 * rng.normal(), d.y + 0.03 * rng.normal(), d.yaw + 0.01 * rng.normal()))


@pytest.mark.parametrize("seed", range(5))
def test_true_loops_stay_and_look_alikes_go(seed):
    rng = np.random.default_rng(seed)
    truth = rounds()
    true = [revisit(truth, a, a + 60 * (1 + a % 2), rng) for a in range(3, 60, 6)]
    false = [PlanarEdge(a, a + 45, Pose2(0.1, 0.05, 0.0)) for a in (5, 20, 33, 70)]  # the next side of the square looks the same
    weights = switch_loops(odometry(truth, rng), [*true, *false], len(truth))
    assert np.all(weights[: len(true)] > 0.9)
    assert np.all(weights[len(true) :] < 0.1)


def test_loops_that_fit_odometry_are_all_kept():
    rng = np.random.default_rng(1)
    truth = rounds(laps=1)
    assert np.all(switch_loops(odometry(truth, rng), [revisit(truth, 2, 20, rng)], len(truth)) == 1.0)
    assert len(switch_loops(odometry(truth, rng), [], len(truth))) == 0
