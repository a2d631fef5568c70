"""Boxes judged: perfect finds are worth 1, doubles and wrong places count against, and what is too small to tell not at all."""

import numpy as np
import pytest

from astra.evaluation.objects import curves

A, B = np.array([0.0, 0.0, 10.0, 10.0]), np.array([20.0, 0.0, 30.0, 10.0])


def test_perfect_finds_are_worth_one_and_none_nothing():
    (curve,) = curves([[(0, 0.9, A), (0, 0.8, B)]], [[(0, A), (0, B)]], 1)
    assert curve.average_precision == 1.0 and curve.at(0.85) == (1, 1, 2)
    (curve,) = curves([[]], [[(0, A)]], 1)
    assert curve.average_precision == 0.0 and curve.threshold(0.9, 1) is None
    assert np.isnan(curves([[]], [[]], 1)[0].average_precision)


def test_a_double_and_a_wrong_place_are_wrong():
    (curve,) = curves([[(0, 0.9, A), (0, 0.8, A + 0.5), (0, 0.7, B + 30.0), (0, 0.6, B)]], [[(0, A), (0, B)]], 1)
    assert curve.right.tolist() == [True, False, False, True]
    assert curve.average_precision == pytest.approx((1.0 + 0.5) / 2)
    assert curve.threshold(0.9, 1) == pytest.approx(0.9) and curve.threshold(0.5, 1) == pytest.approx(0.6)


def test_what_is_too_small_to_tell_counts_neither_way():
    (curve,) = curves([[(0, 0.9, A)]], [[(-1, A)]], 1)
    assert len(curve.scores) == 0 and curve.total == 0


def test_another_class_at_the_place_is_wrong():
    first, second = curves([[(1, 0.9, A)]], [[(0, A)]], 2)
    assert first.total == 1 and second.right.tolist() == [False]
