"""Rides through a world: what the cameras measure stands where the truth says, nobody rides through walls, and finished shards are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from astra.datasets.glide import GlideConfig, Rider, glide
from astra.datasets.local_truth import OUTSIDE
from astra.datasets.packing import PackConfig
from astra.datasets.samples import SampleSet
from astra.sim.robot import RobotConfig
from astra.sim.world import World
from astra.sim.worlds.build import generate

CONFIG = GlideConfig(rides=2, seconds=1.0, pack=PackConfig(rate_hz=2.0, horizon_s=1.0))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> World:
    return generate("home", 7, tmp_path_factory.mktemp("worlds") / "home", plain=True)


@pytest.fixture(scope="module")
def samples(home: World, tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    robot = RobotConfig()
    out = tmp_path_factory.mktemp("samples") / "train"
    for _ in range(2):  # the second time nothing is left to do
        result = glide(home, replace(robot, cameras=replace(robot.cameras, width=64, height=48)), CONFIG, 3, out, "home7_glide0")
    assert result.kept and result.samples == 6
    return SampleSet(out)


def test_what_is_measured_stands_where_the_truth_says(samples: SampleSet) -> None:
    hits, occupied = 0, 0
    for sample in (samples[i] for i in range(len(samples))):
        assert sample.depth is not None and sample.occupancy is not None
        for k, (fx, fy, cx, cy) in enumerate(sample.shard.intrinsics):
            depth = np.asarray(sample.depth[k], np.float64)
            v, u = np.nonzero((depth > 0.3) & (depth < 4.0))
            z = depth[v, u]
            points = np.column_stack([(u - cx) / fx * z, (v - cy) / fy * z, z, np.ones(len(z))]) @ sample.shard.base_from_cam[k].T
            solid = (points[:, 2] > 0.25) & (points[:, 2] < 0.8)
            cells = np.floor((points[solid, :2] + 4.8) / 0.1).astype(int)
            inside = ((cells >= 1) & (cells < 95)).all(axis=1)
            grid = np.asarray(sample.occupancy[0])
            near = np.max([grid[cells[inside, 1] + dy, cells[inside, 0] + dx] % OUTSIDE for dx in (-1, 0, 1) for dy in (-1, 0, 1)], axis=0)
            hits, occupied = hits + len(near), occupied + int((near > 0).sum())
    assert hits > 500 and occupied / hits > 0.9


def test_futures_are_those_that_are_ridden(samples: SampleSet) -> None:
    assert len(samples) == 6
    first, second = samples[0], samples[1]
    ahead = first.pose[:2] + np.array([[np.cos(first.pose[2]), -np.sin(first.pose[2])], [np.sin(first.pose[2]), np.cos(first.pose[2])]]) @ first.future[4, :2]
    np.testing.assert_allclose(ahead, second.pose[:2], atol=1e-5)
    assert second.stamp_ns - first.stamp_ns == 500_000_000


def test_nobody_rides_through_walls(home: World) -> None:
    assert home.truth is not None
    rider, rng = Rider(home.truth, 0.26), np.random.default_rng(0)
    poses = np.concatenate([rider.ride(rng, 0, 10.0).poses for _ in range(5)])
    assert min(rider.clearance(x, y) for x, y, _ in poses) >= 0.2
    assert np.ptp(poses[:, 0]) > 1.0


def test_a_ride_in_company_begins_beside_it(home: World) -> None:
    assert home.truth is not None
    rider, rng = Rider(home.truth, 0.34), np.random.default_rng(0)
    somewhere = rider.ride(rng, 0, 1.0).poses[0, :2]
    for _ in range(8):
        start = rider.ride(rng, 0, 1.0, beside=(float(somewhere[0]), float(somewhere[1]))).poses[0, :2]
        assert 0.9 <= np.hypot(*(start - somewhere)) <= 3.0
