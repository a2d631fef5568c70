"""Monocular depth becomes metric by a few lidar points, outliers among them; pictures that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest

from astra.training.mono_depth import AlignConfig, align, metric

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["disparity", "depth"])
def test_scale_and_shift_are_found_among_outliers(kind: str) -> None:
    config = AlignConfig(kind=kind)
    depth = RNG.uniform(0.5, 6.0, (40, 60))
    value = 1.0 / depth if kind == "disparity" else depth
    mono = (value - 0.07) / 0.6
    rows, columns = RNG.integers(0, 40, 80), RNG.integers(0, 60, 80)
    measured = depth[rows, columns] * RNG.normal(1.0, 0.01, 80)
    measured[:25] = RNG.uniform(0.3, 8.0, 25)  # a lidar sees a glass door, or its foot
    line = align(mono[rows, columns], measured, config, np.random.default_rng(1))
    assert line is not None
    error = np.abs(metric(mono, line, config) - depth) / depth
    assert np.median(error) < 0.02 and np.percentile(error, 90) < 0.06


def test_pictures_that_do_not_fit_are_refused() -> None:
    config, rng = AlignConfig(), np.random.default_rng(0)
    assert align(RNG.random(60), RNG.uniform(0.5, 6.0, 60), config, rng) is None  # noise
    depth = RNG.uniform(0.5, 6.0, 60)
    assert align(-1.0 / depth, depth, config, rng) is None  # upside down
    assert align(1.0 / depth[:5], depth[:5], config, rng) is None  # too few points
    assert align(np.ones(60), depth, config, rng) is None  # says nothing


def test_what_is_behind_or_too_far_is_unknown() -> None:
    depth = metric(np.array([[-1.0, 0.0, 0.01, 0.5]]), (1.0, 0.0), AlignConfig())
    np.testing.assert_allclose(depth, [[0.0, 0.0, 0.0, 2.0]])
