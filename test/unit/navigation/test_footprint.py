import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.core.errors import ConfigError
from astra.geometry import Pose2
from astra.navigation.footprint import Footprint, FootprintConfig

RECTANGLE = "[[0.4, 0.25], [-0.3, 0.25], [-0.3, -0.25], [0.4, -0.25]]"


def test_a_disc_is_covered_by_its_polygon() -> None:
    disc = Footprint.disc(0.22)
    assert disc.inscribed_m == pytest.approx(0.22)
    assert 0.22 < disc.circumscribed_m < 0.226


def test_a_rectangle_has_the_radii_of_its_nearest_edge_and_farthest_corner() -> None:
    outline = FootprintConfig(footprint=RECTANGLE).build()
    assert outline.inscribed_m == pytest.approx(0.25)
    assert outline.circumscribed_m == pytest.approx(math.hypot(0.4, 0.25))


def test_the_order_of_the_corners_does_not_matter() -> None:
    corners = np.array([[0.4, 0.25], [-0.3, 0.25], [-0.3, -0.25], [0.4, -0.25]])
    points = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    assert np.allclose(Footprint.polygon(corners).clearance(points), Footprint.polygon(corners[::-1]).clearance(points))


def test_clearance_is_the_distance_to_the_edges() -> None:
    outline = FootprintConfig(footprint=RECTANGLE).build()
    points = np.array([[0.5, 0.0], [0.0, 0.0], [0.0, 0.3], [0.39, 0.24], [0.43, 0.29]])
    assert np.allclose(outline.clearance(points), [0.1, -0.25, 0.05, -0.01, 0.05])


@settings(derandomize=True, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-4, 4), st.integers(0, 1000))
def test_clearance_along_a_path_agrees_with_moving_every_point(x: float, y: float, yaw: float, seed: int) -> None:
    outline = FootprintConfig(footprint=RECTANGLE).build()
    points = np.random.default_rng(seed).uniform(-4, 4, (30, 2))
    poses = np.array([[x, y, yaw], [y, x, -yaw]])
    expected = [outline.clearance(Pose2(*pose).inverse().apply(points)).min() for pose in poses.tolist()]
    assert np.allclose(outline.clearance_along(poses, points), expected)


def test_without_obstacles_there_is_all_the_room() -> None:
    assert np.all(np.isinf(Footprint.disc(0.2).clearance_along(np.zeros((3, 3)), np.zeros((0, 2)))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[0, 1], [1, 0]]", "at least three"),
        ("nonsense", "no list|at least three"),
        ("[[1, 1], [2, 1], [2, 2]]", "does not contain base_link"),
        ("[[1, 0], [0.1, 0.1], [0, 1], [-1, -1]]", "not convex"),
        ("[[1, .nan], [-1, 1], [-1, -1]]", "finite"),
    ],
)
def test_a_bad_outline_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FootprintConfig(footprint=text).build()
