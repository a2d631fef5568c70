"""Text becomes landmarks with colours and a function in words."""

import numpy as np
import pytest

from astra.mapping.landmarks import LandmarkExtractor
from astra.mapping.text_landmarks import TextLandmarkExtractor, colour_name, function_of, look, merged_lines
from astra.perception.text import TextDetection


def _line(text, top, left=10.0, width=50.0, height=10.0):
    right, bottom = left + width, top + height
    return TextDetection(text, 0.9, np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=float))


def _sign(text_rgb, ground_rgb):
    image = np.full((40, 80, 3), 128, np.uint8)
    image[5:35, 5:75] = ground_rgb
    image[12:28, 12:70:6] = text_rgb
    image[12:28, 13:70:6] = text_rgb
    return image, np.array([[6, 6], [73, 6], [73, 33], [6, 33]], dtype=float)


def test_lines_below_each_other_read_as_one():
    texts = [d.text for d in merged_lines([_line("ROOM 2", 32), _line("MEETING", 20), _line("FAR BELOW", 100), _line("BESIDE", 20, left=80)])]
    assert sorted(texts) == ["BESIDE", "FAR BELOW", "MEETING ROOM 2"]


def test_lines_of_other_size_are_another_text():
    assert len(merged_lines([_line("TITLE", 10, height=20), _line("fine print", 31, height=6)])) == 2


@pytest.mark.parametrize(
    ("text", "word"),
    [("Meeting Room 2", "meetings"), ("COFFEE", "coffee"), ("Waiting Room", "wait"), ("first-aid", "medical"), ("EXIT →", "out of the building")],
)
def test_signs_tell_what_places_are_for(text, word):
    assert word in function_of(text)


@pytest.mark.parametrize("text", ["Menu", "Room 12", "B-204", "", "Inform"])
def test_words_inside_words_tell_nothing(text):
    assert function_of(text) == ""


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((250, 250, 250), "white"), ((10, 10, 12), "black"), ((30, 80, 200), "blue"), ((200, 30, 30), "red"), ((30, 150, 60), "green"), ((130, 85, 40), "brown")],
)
def test_colours_have_everyday_names(rgb, name):
    assert colour_name(np.array(rgb, dtype=float)) == name


@pytest.mark.parametrize(
    ("text", "ground", "words"), [((255, 255, 255), (20, 60, 190), "white text on blue"), ((15, 15, 15), (245, 220, 40), "black text on yellow")]
)
def test_the_look_names_text_and_ground(text, ground, words):
    assert look(*_sign(text, ground)) == words


def test_a_polygon_outside_the_image_has_no_look():
    assert look(np.zeros((20, 20, 3), np.uint8), np.array([[50, 50], [60, 50], [60, 60], [50, 60]], dtype=float)) == ""


def test_the_extractor_describes_what_its_reader_reads():
    image, polygon = _sign((255, 255, 255), (20, 60, 190))

    class Reader:
        def read(self, rgb):
            assert rgb is image
            return (TextDetection("KITCHEN", 0.8, polygon),)

    extractor = TextLandmarkExtractor(Reader())
    assert isinstance(extractor, LandmarkExtractor)
    (found,) = extractor.extract(image)
    assert (found.label, found.is_text, found.score, found.attributes) == ("KITCHEN", True, 0.8, "white text on blue")
    assert "cook" in found.function
