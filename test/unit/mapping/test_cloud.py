import math
from pathlib import Path

import numpy as np
import pytest

from astra.mapping.cloud import CloudConfig, floor_of, floor_warnings, thin_cloud, write_cloud

CONFIG = CloudConfig()


def scene(height_m: float = 0.0, tilt_rad: float = 0.0) -> np.ndarray:
    """A floor of 4 × 4 m with a wall and some noise."""
    rng = np.random.default_rng(1)
    floor = np.c_[rng.uniform(-2, 2, (2000, 2)), rng.normal(0.0, 0.005, 2000)]
    floor[:, 2] += height_m + floor[:, 0] * math.tan(tilt_rad)
    wall = np.c_[np.full(800, 2.0), rng.uniform(-2, 2, 800), rng.uniform(0, 2.5, 800)]
    return np.vstack([floor, wall])


@pytest.mark.parametrize(("height_m", "tilt_deg"), [(0.0, 0.0), (0.12, 0.0), (-0.15, 1.0), (0.0, 4.0)])
def test_the_floor_is_measured(height_m: float, tilt_deg: float) -> None:
    floor = floor_of(scene(height_m, math.radians(tilt_deg)), CONFIG)
    assert floor is not None
    assert floor.height_m == pytest.approx(height_m, abs=0.01)
    assert math.degrees(floor.tilt_rad) == pytest.approx(tilt_deg, abs=0.4)


def test_a_good_floor_is_silent_and_a_bad_one_is_named() -> None:
    assert floor_warnings(scene(), CONFIG) == []
    assert "+0.12 m" in floor_warnings(scene(0.12), CONFIG)[0]
    assert "tilted" in floor_warnings(scene(0.0, math.radians(4.0)), CONFIG)[-1]


def test_without_floor_points_nothing_is_claimed() -> None:
    points = scene()
    assert floor_of(points[points[:, 2] > 0.5], CONFIG) is None
    assert floor_of(np.zeros((0, 3)), CONFIG) is None


def test_thinning_drops_stragglers_and_keeps_the_surfaces() -> None:
    stragglers = np.array([[9.0, 9.0, 9.0], [-8.0, 7.0, 3.0]])
    thin = thin_cloud(np.vstack([scene(), stragglers]), CONFIG)
    assert 1000 < len(thin) < 2800
    assert np.abs(thin).max() < 3.0


def test_the_cloud_is_written_as_ply(tmp_path: Path) -> None:
    write_cloud(scene()[:10], tmp_path / "cloud.ply")
    assert (tmp_path / "cloud.ply").read_bytes().startswith(b"ply")
