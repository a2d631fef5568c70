"""A similarity is found exactly, mirror images are not, and the error is what remains."""

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.evaluation.alignment import similarity_between, trajectory_error_m
from astra.geometry import Pose3

POINTS = np.random.default_rng(0).normal(size=(40, 3))
TRUTH = 2.5 * POINTS @ Pose3.from_rpy(0.3, -0.2, 1.0, np.zeros(3)).rotation.T + [1.0, -2.0, 0.5]


def test_a_similarity_is_recovered() -> None:
    fit = similarity_between(POINTS, TRUTH)
    assert fit.scale == pytest.approx(2.5) and np.linalg.det(fit.rotation) == pytest.approx(1.0)
    assert trajectory_error_m(POINTS, TRUTH).max() < 1e-9


def test_without_scale_the_scale_stays() -> None:
    assert similarity_between(POINTS, TRUTH, with_scale=False).scale == 1.0
    assert trajectory_error_m(POINTS, TRUTH, with_scale=False).mean() > 0.5


def test_a_mirror_image_is_no_similarity() -> None:
    assert trajectory_error_m(POINTS, POINTS * [1.0, 1.0, -1.0]).mean() > 0.2


def test_noise_remains_as_error() -> None:
    noise = 0.01 * np.random.default_rng(1).normal(size=TRUTH.shape)
    assert np.sqrt((trajectory_error_m(POINTS, TRUTH + noise) ** 2).mean()) == pytest.approx(0.017, rel=0.2)


def test_two_points_align_nothing() -> None:
    with pytest.raises(BadInputError, match="three"):
        similarity_between(POINTS[:2], TRUTH[:2])
