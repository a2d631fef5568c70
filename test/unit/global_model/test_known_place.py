"""Whether a place is called known where no pose could be verified."""

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.global_model.coarse import PlaceVotes
from astra.global_model.known_place import KnownPlaceConfig, place_probability


def likely(shared, similarity):
    looks = np.asarray(similarity, np.float32)
    return place_probability(PlaceVotes(looks, np.zeros(3), looks, np.asarray(shared, float)), KnownPlaceConfig())


def test_more_in_common_and_greater_likeness_make_a_place_likelier():
    values = [likely([s], [[0.1, look, 0.2]]) for s, look in ((0.0, 0.6), (0.005, 0.6), (0.02, 0.6), (0.02, 0.9))]
    assert values == sorted(values) and values[0] < 0.01 and values[-1] > 0.9


def test_the_image_that_says_most_decides():
    assert likely([0.001, 0.03], [[0.5, 0.4], [0.9, 0.1]]) == likely([0.03], [[0.9, 0.1]])


def test_without_local_features_no_place_is_known():
    assert likely([0.0], [[1.0, 0.9]]) < 0.5


def test_a_bad_threshold_is_named():
    with pytest.raises(ConfigError, match="min_probability"):
        KnownPlaceConfig(min_probability=1.0)
