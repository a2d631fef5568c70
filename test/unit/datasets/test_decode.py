"""Images as robots really send them."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.datasets.decode import depth_from_message, rgb_from_message

COLOUR = np.array([200, 90, 30], np.uint8)
PATTERNS = {"rggb": (0, 1, 1, 2), "bggr": (2, 1, 1, 0), "gbrg": (1, 2, 0, 1), "grbg": (1, 0, 2, 1)}


def message(encoding: str, pixels: np.ndarray, *, padding: int = 0, big: int = 0) -> SimpleNamespace:
    """A sensor_msgs/Image whose rows end with `padding` bytes."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    data = np.pad(rows, ((0, 0), (0, padding)))
    return SimpleNamespace(encoding=encoding, height=pixels.shape[0], width=pixels.shape[1], step=data.shape[1], is_bigendian=big, data=data.ravel())


def plain(channels: np.ndarray) -> np.ndarray:
    return np.broadcast_to(channels, (8, 12, len(channels))).astype(np.uint8)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "pixel"),
    [("rgb8", COLOUR), ("bgr8", COLOUR[::-1]), ("8UC3", COLOUR[::-1]), ("rgba8", np.array([*COLOUR, 255])), ("bgra8", np.array([*COLOUR[::-1], 255]))],
)
def test_colours_come_out_as_rgb(encoding: str, pixel: np.ndarray, padding: int) -> None:
    assert (rgb_from_message(message(encoding, plain(pixel), padding=padding), "bag /c") == COLOUR).all()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_bayer_patterns_are_told_apart(pattern: str) -> None:
    mosaic = np.tile(COLOUR[list(PATTERNS[pattern])].reshape(2, 2), (4, 6))
    rgb = rgb_from_message(message(f"bayer_{pattern}8", mosaic), "bag /c")
    assert np.abs(rgb[2:-2, 2:-2].astype(int) - COLOUR).max() <= 2


@pytest.mark.parametrize(("encoding", "order"), [("yuv422_yuy2", (0, 1, 0, 2)), ("uyvy", (1, 0, 2, 0))])
def test_packed_yuv_comes_out_as_rgb(encoding: str, order: tuple[int, ...]) -> None:
    r, g, b = COLOUR / 255.0  # BT.601, video range
    y, u, v = 16 + 65.481 * r + 128.553 * g + 24.966 * b, 128 - 37.797 * r - 74.203 * g + 112 * b, 128 + 112 * r - 93.786 * g - 18.214 * b
    packed = np.tile(np.array([(y, u, v)[k] for k in order]).round().astype(np.uint8), (8, 6)).reshape(8, 12, 2)
    rgb = rgb_from_message(message(encoding, packed), "bag /c")
    assert np.abs(rgb.astype(int) - COLOUR).max() <= 3


def test_grey_images_are_grey() -> None:
    assert (rgb_from_message(message("mono8", plain(np.array([77]))[..., 0]), "bag /c") == 77).all()


@pytest.mark.parametrize(("kind", "encoding", "unit"), [("<u2", "16UC1", 1e3), ("<f4", "32FC1", 1.0), (">u2", "16UC1", 1e3)])
def test_depth_is_metres_whatever_its_unit(kind: str, encoding: str, unit: float) -> None:
    metres = np.linspace(0.5, 6.0, 96, dtype=np.float32).reshape(8, 12)
    depth = depth_from_message(message(encoding, (metres * unit).astype(kind), padding=6, big=kind.startswith(">")), "bag /d")
    np.testing.assert_allclose(depth, metres, atol=1.1e-3)


def test_depth_that_was_not_measured_is_zero() -> None:
    metres = np.array([[np.nan, np.inf, 1.0]], np.float32)
    assert depth_from_message(message("32FC1", metres), "bag /d").tolist() == [[0.0, 0.0, 1.0]]


def test_compressed_depth_is_a_png_of_millimetres() -> None:
    png = cv2.imencode(".png", np.full((4, 6), 1234, np.uint16))[1].ravel()
    np.testing.assert_allclose(depth_from_message(SimpleNamespace(format="16UC1; png", data=png), "bag /d"), 1.234, rtol=1e-6)
    jpeg = cv2.imencode(".jpg", np.zeros((4, 6, 3), np.uint8))[1].ravel()
    with pytest.raises(BadInputError, match="bag /d.*16 bits"):
        depth_from_message(SimpleNamespace(format="jpeg", data=jpeg), "bag /d")


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (message("hsv8", plain(COLOUR)), "hsv8"),
        (SimpleNamespace(encoding="rgb8", height=8, width=12, step=36, is_bigendian=0, data=np.zeros(100, np.uint8)), "do not fit"),
        (SimpleNamespace(encoding="rgb8", height=8, width=12, step=12, is_bigendian=0, data=np.zeros(288, np.uint8)), "do not fit"),
        (SimpleNamespace(format="jpeg", data=np.zeros(10, np.uint8)), "cannot be decoded"),
        (SimpleNamespace(format="jpeg", data=np.zeros(0, np.uint8)), "cannot be decoded"),
    ],
)
def test_broken_images_name_their_topic(broken: SimpleNamespace, named: str) -> None:
    with pytest.raises(BadInputError, match=f"bag /c.*{named}"):
        rgb_from_message(broken, "bag /c")
