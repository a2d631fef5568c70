"""Found objects become landmarks with a colour and a purpose; with the reader beside them, both speak."""

import numpy as np

from astra.mapping.landmarks import CombinedExtractor, LandmarkExtractor
from astra.mapping.object_landmarks import ObjectLandmarkExtractor
from astra.perception.objects import DetectedObject


class Sofa:
    def detect(self, rgb):
        return (DetectedObject("sofa", 0.8, np.array([10.0, 20.0, 50.0, 40.0])),)


def image():
    rgb = np.full((60, 80, 3), 230, np.uint8)
    rgb[20:40, 10:50] = (190, 30, 30)
    return rgb


def test_a_sofa_is_red_and_for_resting():
    extractor = ObjectLandmarkExtractor(Sofa())
    (landmark,) = extractor.extract(image())
    assert isinstance(extractor, LandmarkExtractor)
    assert (landmark.label, landmark.attributes, landmark.is_text) == ("sofa", "red", False)
    assert "resting" in landmark.function
    assert landmark.polygon.tolist() == [[10, 20], [50, 20], [50, 40], [10, 40]]


def test_several_extractors_speak_together():
    both = CombinedExtractor([ObjectLandmarkExtractor(Sofa()), ObjectLandmarkExtractor(Sofa())])
    assert both.name == "objects+objects" and both.portable and len(both.extract(image())) == 2
