"""Signs speak for the poses from which they are seen, and against those from which they should be."""

import math

import numpy as np

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose3
from astra.global_model.backends.protocol import DetectedLandmark
from astra.global_model.coarse import LandmarkMatch
from astra.global_model.testimony import SignsConfig, sign_testimony
from astra.global_model.types import QueryView

CAMERA = CameraModel.from_fov(224, 160, math.pi / 2)
FRONT = QueryView("front", np.zeros((160, 224, 3), np.uint8), CAMERA, Pose3.from_rpy(0, 0, 0, np.array([0, 0, 1.2])) @ BODY_FROM_OPTICAL)
POSES = np.array([[1.0, 1.5, math.pi / 2], [9.0, 1.5, math.pi / 2], [5.0, 1.5, math.pi / 2]])  # before KITCHEN, before LOUNGE, before neither


def read(landmark_id, label):
    return LandmarkMatch(landmark_id, 0, DetectedLandmark(label, True, 1.0, np.zeros((4, 2))), 1.0)


def test_a_sign_that_was_read_speaks_for_where_it_hangs_and_against_elsewhere(building):
    said = sign_testimony(building, (FRONT,), (read(2, "LOUNGE"),), POSES)
    config = SignsConfig()
    np.testing.assert_allclose(said, [-config.missed - config.stray, config.seen, -config.stray])


def test_a_sign_that_should_be_seen_and_was_not_speaks_against(building):
    said = sign_testimony(building, (FRONT,), (), POSES)
    assert said[0] < 0.0 and said[1] < 0.0 and said[2] == 0.0


def test_the_same_label_elsewhere_is_the_same_sign_to_a_reader(building):
    # KITCHEN hangs twice: whichever of the two the reader was given, it speaks for both.
    for landmark_id in (1, 4):
        assert sign_testimony(building, (FRONT,), (read(landmark_id, "KITCHEN"),), POSES)[0] > 0.0
