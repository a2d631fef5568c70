import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.core.errors import BadInputError
from astra.navigation.polyline import RouteProgress, arc_lengths, point_along, project, resample, with_headings

ELL = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0]])


def test_resampling_keeps_ends_and_length() -> None:
    line = resample(np.array([[0.0, 0.0], [4.0, 0.0]]), 0.05)
    assert np.allclose(line[[0, -1]], [[0, 0], [4, 0]])
    assert np.allclose(np.diff(line[:, 0]), 0.05)


def test_headings_point_along_the_way() -> None:
    assert np.allclose(with_headings(ELL, 9.0)[:, 2], [0.0, math.pi / 2, math.pi / 2])
    assert np.allclose(with_headings(np.zeros((2, 2)), 0.7)[:, 2], 0.7)


@settings(derandomize=True, deadline=None)
@given(st.floats(0, 7), st.floats(-0.2, 0.2))
def test_a_point_beside_the_line_projects_back_onto_it(arc: float, offset: float) -> None:
    point = point_along(ELL, arc)
    sideways = np.array([0.0, offset]) if arc < 4.0 else np.array([offset, 0.0])
    found, distance = project(ELL, point + sideways)
    assert distance <= abs(offset) + 1e-9
    assert abs(found - arc) <= 3.0 * abs(offset) + 1e-6  # around the corner


def test_the_window_keeps_progress_on_its_own_branch_of_a_route_that_returns() -> None:
    there_and_back = np.array([[0.0, 0.0], [5.0, 0.0], [5.0, 0.1], [0.0, 0.1]])
    progress = RouteProgress(there_and_back, window_m=1.5)
    seen = []
    for x in np.concatenate([np.arange(0.0, 5.0, 0.1), np.arange(5.0, 0.0, -0.1)]).tolist():
        progress.update(np.array([x, 0.05]))
        seen.append(progress.arc_m)
    assert np.all(np.diff(seen) >= 0.0)
    assert seen[49] < 6.6
    assert progress.remaining_m < 0.2


def test_progress_never_goes_back() -> None:
    progress = RouteProgress(ELL)
    progress.update(np.array([2.0, 0.1]))
    progress.update(np.array([1.0, 0.1]))
    assert progress.arc_m == pytest.approx(2.0)
    assert progress.remaining_m == pytest.approx(5.0)
    assert np.allclose(progress.point_ahead(3.0), [4.0, 1.0])
    assert np.allclose(progress.piece_ahead(3.0), [[2.0, 0.0], [4.0, 0.0], [4.0, 1.0]])
    assert np.allclose(progress.point_ahead(99.0), [4.0, 3.0])


def test_a_route_of_one_place_is_its_own_end() -> None:
    progress = RouteProgress(np.array([[1.0, 2.0]]))
    assert progress.update(np.array([1.0, 3.0])) == pytest.approx(1.0)
    assert np.allclose(progress.point_ahead(1.0), [1.0, 2.0])
    assert progress.remaining_m == 0.0


def test_arc_lengths_sum_the_steps() -> None:
    assert np.allclose(arc_lengths(ELL), [0.0, 4.0, 7.0])


@pytest.mark.parametrize("route", [np.zeros((0, 2)), np.array([[0.0, math.nan]])])
def test_a_route_without_finite_positions_is_refused(route: np.ndarray) -> None:
    with pytest.raises(BadInputError, match="finite position"):
        RouteProgress(route)
