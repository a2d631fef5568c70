"""What a small map keeps."""

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.mapping.keyframes import read_rgb, write_image
from astra.mapping.store import StoreConfig, slim_image, slimmed
from astra.topomap.features import MapFeatures

IDS = np.array([4, -1, 5, 6, -1, -1, 4, 5, 7])
OFFSETS = np.array([0, 4, 6, 9])


@pytest.fixture
def features():
    points = np.where(IDS[:, None] >= 0, IDS[:, None] * np.ones(3), np.nan).astype(np.float32)
    keypoints, descriptors = np.stack([np.arange(9)] * 2, axis=1).astype(np.float32), np.arange(9 * 128).reshape(9, 128).astype(np.uint8)
    return MapFeatures(np.array([10, 11, 12]), OFFSETS, keypoints, descriptors, points, IDS, np.eye(3, dtype=np.float32))


def test_all_is_kept_on_request(features):
    assert slimmed(features, StoreConfig(unplaced=True)) is features


def test_features_without_a_point_are_left_out_and_views_keep_theirs(features):
    slim = slimmed(features, StoreConfig())
    assert slim.offsets.tolist() == [0, 3, 3, 6]  # the second view had none
    assert slim.keypoints[:, 0].tolist() == [0, 2, 3, 6, 7, 8] and slim.point_ids.tolist() == [4, 5, 6, 4, 5, 7]
    np.testing.assert_array_equal(slim.descriptors, features.descriptors[[0, 2, 3, 6, 7, 8]])
    assert np.isfinite(slim.points_map).all() and slim.place is features.place


def test_those_that_most_views_see_stay(features):
    slim = slimmed(features, StoreConfig(most_features=2))
    assert slim.offsets.tolist() == [0, 2, 2, 4] and slim.point_ids.tolist() == [4, 5, 4, 5]


def test_images_get_smaller_on_request(tmp_path):
    image, rgb = tmp_path / "a.jpg", np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    write_image(image, rgb, 95)
    (tmp_path / "small").mkdir()
    assert slim_image(image, tmp_path / "small", StoreConfig()) == image
    small = slim_image(image, tmp_path / "small", StoreConfig(jpeg_quality=30))
    assert small.stat().st_size < image.stat().st_size / 2 and read_rgb(small).shape == rgb.shape


def test_a_limit_needs_points():
    with pytest.raises(ConfigError, match="unplaced"):
        StoreConfig(unplaced=True, most_features=10)
