"""Reading rendered signs, at the size a robot's small cameras see them."""

import cv2
import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.perception.text import TextReader, TextReaderConfig, normalise_text


@pytest.fixture(scope="module")
def reader():
    return TextReader()


def sign(text, width=224, height=160, scale=0.6, at=(40, 80)):
    image = np.full((height, width, 3), (214, 205, 190), np.uint8)
    (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 1)
    cv2.rectangle(image, (at[0] - 8, at[1] - h - 8), (at[0] + w + 8, at[1] + 8), (30, 60, 130), -1)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_DUPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return image, np.array([at[0] + w / 2, at[1] - h / 2])


@pytest.mark.parametrize("text", ["KITCHEN", "Room 204", "PRINTER"])
def test_small_signs_are_read_where_they_are(reader, text):
    image, centre = sign(text)
    best = reader.read(image)[0]
    assert normalise_text(best.text).replace(" ", "") == normalise_text(text).replace(" ", "")
    assert np.linalg.norm(best.centre - centre) < 6.0
    assert 8.0 < best.height_px < 32.0


def test_polygon_is_in_the_pixels_of_the_given_image_whatever_its_size(reader):
    image, centre = sign("MEETING", 1280, 900, 2.0, (500, 400))
    best = reader.read(image)[0]
    assert normalise_text(best.text) == "meeting"
    assert np.linalg.norm(best.centre - centre) < 20.0


def test_blank_wall_and_noise_say_nothing(reader):
    assert reader.read(np.full((160, 224, 3), 180, np.uint8)) == ()
    noise = np.random.default_rng(0).integers(0, 255, (160, 224, 3), dtype=np.uint8)
    assert reader.read(noise) == ()


def test_two_threads_read_the_same(reader):
    image, _ = sign("LOUNGE")
    assert [d.text for d in TextReader(TextReaderConfig(threads=2)).read(image)] == [d.text for d in reader.read(image)]


def test_normalise_text():
    assert normalise_text(" A‑001_b ") == normalise_text("a 001 B") == "a 001 b"
    assert normalise_text("···") == ""


def test_bad_values_are_named():
    with pytest.raises(ConfigError, match="min_score"):
        TextReaderConfig(min_score=1.5)


def test_signs_are_read_as_well_where_they_were_searched_in_fewer_pixels():
    quick = TextReader(TextReaderConfig(search_share=0.75))
    for image, centre in (sign("KITCHEN"), sign("MEETING", 640, 480, 1.2, (300, 200))):
        best = quick.read(image)[0]
        assert normalise_text(best.text) in ("kitchen", "meeting")
        assert np.linalg.norm(best.centre - centre) < 10.0
