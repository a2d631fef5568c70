"""Things said once in a while, and rates."""

from __future__ import annotations

import pytest

from astra.ros.quiet import Quiet, Rate

SECOND = 10**9


def test_the_same_is_said_once_in_a_while_with_how_often_it_happened() -> None:
    quiet = Quiet(5.0)
    said = [quiet.ask("odometry: stale", t * SECOND) for t in range(11)]
    assert said == [1, None, None, None, None, 5, None, None, None, None, 5]
    assert quiet.ask("something else", 10 * SECOND) == 1


def test_a_rate_is_taken_over_a_second_or_more() -> None:
    rate = Rate()
    assert rate.hz(0) == 0.0
    for _ in range(50):
        rate.happened()
    assert rate.hz(SECOND // 2) == 0.0
    assert rate.hz(2 * SECOND) == pytest.approx(25.0)
    assert rate.hz(2 * SECOND + 1) == pytest.approx(25.0)
    assert rate.count == 50
