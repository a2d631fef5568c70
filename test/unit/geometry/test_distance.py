import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.geometry.distance import distance_to_occupied, distance_to_points, sample_bilinear, signed_distance


def brute(occupied: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(occupied)
    y, x = np.indices(occupied.shape)
    return np.hypot(y[..., None] - rows, x[..., None] - columns).min(axis=-1)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.4))
def test_the_distance_is_that_of_a_search_over_all_cells(seed: int, density: float) -> None:
    occupied = np.random.default_rng(seed).random((17, 23)) < density
    occupied[3, 4] = True
    assert np.allclose(distance_to_occupied(occupied, 0.5), 0.5 * brute(occupied), atol=1e-5)


def test_nothing_occupied_is_far_from_everything() -> None:
    assert np.all(distance_to_occupied(np.zeros((5, 6), dtype=bool), 0.1, cap_m=7.0) == 7.0)


def test_the_signed_distance_changes_sign_on_the_border_and_by_complement() -> None:
    occupied = np.zeros((20, 20), dtype=bool)
    occupied[5:12, 6:15] = True
    field = signed_distance(occupied, 0.1)
    assert np.all(field[occupied] < 0)
    assert np.all(field[~occupied] > 0)
    assert np.allclose(field, -signed_distance(~occupied, 0.1))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.floats(0.005, 0.2))
def test_points_inside_cells_are_measured_finer_than_the_cells(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    occupied = rng.random((25, 31)) < density
    occupied[12, 9] = True
    y, x = np.indices(occupied.shape)
    points = np.stack([x, y], axis=-1) + rng.random((*occupied.shape, 2))
    field = distance_to_points(occupied, points.astype(np.float32), 1.0)
    true = np.linalg.norm(np.stack([x + 0.5, y + 0.5], axis=-1)[:, :, None] - points[occupied], axis=-1).min(axis=-1)
    assert np.all(field >= true - 1e-4)
    assert np.quantile(field - true, 0.95) < 0.3
    assert np.max(field - true) < 1.0


def test_bilinear_sampling_reproduces_a_plane_and_clamps_outside() -> None:
    y, x = np.indices((8, 10), dtype=np.float32) + 0.5
    field = (2.0 * x - 3.0 * y + 1.0).astype(np.float32)
    points = np.random.default_rng(0).uniform([0.5, 0.5], [9.5, 7.5], (50, 2))
    assert np.allclose(sample_bilinear(field, points), 2.0 * points[:, 0] - 3.0 * points[:, 1] + 1.0, atol=1e-4)
    assert sample_bilinear(field, np.array([-100.0, -100.0])) == field[0, 0]
    assert sample_bilinear(field, np.array([100.0, 100.0])) == field[-1, -1]
