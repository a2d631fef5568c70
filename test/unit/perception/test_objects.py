"""Boxes out of heat maps, images brought to the network's size, and classes that cover what rooms are told by."""

import json

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.perception.objects import CLASSES, STRIDE, ObjectDetector, ObjectDetectorConfig, class_of, decode, overlap, prepare


def maps(rows=14, columns=20):
    return np.zeros((2, rows, columns), np.float32), np.full((2, rows, columns), 24.0, np.float32), np.zeros((2, rows, columns), np.float32)


def test_a_peak_is_a_box_around_its_centre():
    heat, size, offset = maps()
    heat[1, 5, 7], heat[1, 5, 8], offset[0, 5, 7] = 0.9, 0.6, 3.0
    ((kind, score, box),) = decode(heat, size, offset, 5)
    assert kind == 1 and score == pytest.approx(0.9)
    assert box == pytest.approx([7 * STRIDE + 3 - 12, 5 * STRIDE - 12, 7 * STRIDE + 3 + 12, 5 * STRIDE + 12])


def test_one_thing_is_one_box_and_two_things_are_two():
    heat, size, offset = maps()
    heat[0, 5, 7], heat[1, 5, 9], heat[0, 10, 15] = 0.9, 0.5, 0.7
    size[:, 5] = 80.0  # the second peak lies in the first box
    assert [(kind, round(score, 1)) for kind, score, _ in decode(heat, size, offset, 5)] == [(0, 0.9), (0, 0.7)]
    assert len(decode(heat, size, offset, 1)) == 1


def test_overlap_of_boxes():
    box = np.array([0.0, 0.0, 2.0, 2.0])
    assert overlap(box, box) == 1.0 and overlap(box, box + 5.0) == 0.0
    assert overlap(box, box + [1.0, 0.0, 1.0, 0.0]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("shape", "wanted"), [((160, 224), (112, 160)), ((480, 640), (112, 144)), ((112, 160), (112, 160))])
def test_images_keep_their_shape_within_a_multiple(shape, wanted):
    assert prepare(np.zeros((*shape, 3), np.uint8), 112).shape == (1, *wanted, 3)


def test_the_simulator_s_furniture_has_classes_and_what_moves_has_none():
    assert class_of("low_table") == "table" and class_of("fridge") == "fridge" and class_of("forklift") is None
    assert len(set(CLASSES)) == len(CLASSES)


def test_a_folder_without_a_model_and_what_is_no_image_are_refused(tmp_path):
    detector = ObjectDetector(ObjectDetectorConfig(model_dir=tmp_path))
    with pytest.raises(BadInputError, match=r"objects\.onnx"):
        detector.detect(np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "objects.json").write_text(json.dumps({}))
    with pytest.raises(BadInputError, match="uint8"):
        detector.detect(np.zeros((8, 8), np.uint8))
