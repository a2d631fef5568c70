"""What a user says of lengths on the command line."""

import argparse
import math

import pytest

from astra.cli.map import metric_clues
from astra.core.errors import BadInputError


def clues(height=None, *distances):
    return metric_clues(argparse.Namespace(camera_height=height, distance=list(distances)))


def test_lengths_are_read():
    found = clues(1.4, ("a.jpg", "b.jpg", "2.5"), ("3", "17", "4"))
    assert found.camera_height_m == 1.4
    assert [(d.image_a, d.image_b, d.metres) for d in found.distances] == [("a.jpg", "b.jpg", 2.5), ("3", "17", 4.0)]
    assert math.isnan(clues().camera_height_m) and clues().distances == ()


@pytest.mark.parametrize(
    ("height", "distance", "named"),
    [(0.0, None, "--camera-height 0.0"), (math.inf, None, "--camera-height inf"), (None, ("a", "b", "far"), "far"), (None, ("a", "b", "-2"), "-2 m"),
     (None, ("a", "a", "2"), "two different images")],
)  # fmt: skip
def test_a_bad_length_is_named(height, distance, named):
    with pytest.raises(BadInputError, match=named):
        clues(height, *([distance] if distance else []))
