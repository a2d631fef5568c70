"""Local features match across known image motions and spread over the image."""

import cv2
import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.perception.local import LocalFeatureConfig, LocalFeatureExtractor, match, root_sift


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(3)
    image = cv2.GaussianBlur(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), (0, 0), 1.0)
    return cv2.resize(image, (320, 240), interpolation=cv2.INTER_CUBIC)


def test_matches_follow_a_known_rotation_and_shift(picture):
    motion = cv2.getRotationMatrix2D((159.5, 119.5), 12.0, 1.0)
    motion[:, 2] += (7.0, -4.0)
    moved = cv2.warpAffine(picture, motion, (320, 240), borderMode=cv2.BORDER_REFLECT)
    extractor = LocalFeatureExtractor()
    a, b = extractor.extract(picture), extractor.extract(moved)
    rows = match(a.descriptors, b.descriptors)
    expected = a.keypoints[rows[:, 0]] @ motion[:, :2].T + motion[:, 2]
    error = np.linalg.norm(expected - b.keypoints[rows[:, 1]], axis=1)
    assert len(rows) > 150
    assert np.mean(error < 1.0) > 0.9
    assert np.median(error) < 0.3  # centres at integers on both sides: a half-pixel slip would show


def test_matching_is_mutual_and_symmetric(picture):
    extractor = LocalFeatureExtractor()
    a, b = extractor.extract(picture), extractor.extract(np.ascontiguousarray(picture[:, 20:]))
    config = LocalFeatureConfig(ratio=1.0, max_distance=2.0)
    forward = match(a.descriptors, b.descriptors, config)
    backward = match(b.descriptors, a.descriptors, config)
    assert len(set(forward[:, 0].tolist())) == len(forward) == len(set(forward[:, 1].tolist()))
    assert {tuple(r) for r in forward.tolist()} == {(j, i) for i, j in backward.tolist()}


def test_features_spread_over_the_image_when_there_are_too_many(picture):
    picture = picture.copy()
    picture[:, :200] = (0.5 * picture[:, :200] + 64).astype(np.uint8)  # most contrast is on the right
    left = {}
    for cells in (1, 6):
        few = LocalFeatureExtractor(LocalFeatureConfig(max_features=72, grid_cells=cells)).extract(picture)
        assert len(few) == 72
        left[cells] = np.mean(few.keypoints[:, 0] < 200)
    assert left[6] > 0.4 > left[1]


def test_an_image_without_structure_gives_no_features():
    features = LocalFeatureExtractor().extract(np.full((120, 160, 3), 128, np.uint8))
    assert features.keypoints.shape == (0, 2) and features.descriptors.shape == (0, 128)
    assert match(features.descriptors, features.descriptors).shape == (0, 2)


def test_root_sift_compares_histograms_by_hellinger():
    raw = np.random.default_rng(0).uniform(0, 100, (2, 128)).astype(np.float32)
    p, q = (r / r.sum() for r in raw)
    a, b = (d.astype(float) / 512.0 for d in root_sift(raw))
    assert np.sum((a - b) ** 2) == pytest.approx(2.0 - 2.0 * np.sum(np.sqrt(p * q)), abs=2e-3)


@pytest.mark.parametrize("bad", [{"max_features": 3}, {"ratio": 0.0}, {"ratio": 1.2}, {"grid_cells": 0}])
def test_bad_values_are_named(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        LocalFeatureConfig(**bad)
