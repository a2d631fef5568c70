"""Place descriptors: normalised, the same alone or in a batch, near for near views and far for others."""

import cv2
import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.perception.place import PlaceEncoder, PlaceEncoderConfig


def scene(seed, width=224, height=160):
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(90, 220, 3), np.uint8)
    for _ in range(25):
        x, y, w, h = rng.integers(0, width), rng.integers(0, height), rng.integers(10, 60), rng.integers(10, 60)
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), [int(c) for c in rng.integers(0, 255, 3)], -1)
    return image


@pytest.fixture(scope="module")
def encoder():
    return PlaceEncoder()


def test_shape_norm_and_batching(encoder):
    images = [scene(seed) for seed in range(10)]
    together = encoder.encode(images)
    assert together.shape == (10, encoder.dimension) and together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    assert np.allclose(together[3], encoder.encode([images[3]])[0], atol=1e-4)
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_shifted_view_retrieves_its_place(encoder):
    places = [scene(seed, 300, 200) for seed in range(12)]
    database = encoder.encode([p[:160, :224] for p in places])
    queries = encoder.encode([p[6:166, 9:233] for p in places])
    assert np.argmax(queries @ database.T, axis=1).tolist() == list(range(12))


def test_size_of_the_image_hardly_matters(encoder):
    image = scene(3)
    large = cv2.resize(image, (896, 640), interpolation=cv2.INTER_LINEAR)
    a, b = encoder.encode([image, large])
    assert float(a @ b) > 0.95


def test_bad_values_are_named():
    with pytest.raises(ConfigError, match="columns"):
        PlaceEncoderConfig(columns=99)
