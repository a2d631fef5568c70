"""Stage 7: semantic landmarks. What an image shows is an extractor's business; which detections are one thing in the world is decided here.

`LandmarkExtractor` is the seam: the default reads text (`text_landmarks.py`), a vision-language model slots in by satisfying it. Detections
of all views are joined by where they lie in space first and by what they say second (`association.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray, UInt8Array
from astra.geometry import CameraModel, Pose3


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkDetection:
    """One semantic thing in one image.

    label: the text as read if `is_text`, else a category. score: 0..1. polygon: (4, 2) [px], clockwise from the thing's own top left.
    attributes: its look in words. function: what the place is for, empty if it does not say.
    """

    label: str
    is_text: bool
    score: float
    polygon: FloatArray
    attributes: str = ""
    function: str = ""


@runtime_checkable
class LandmarkExtractor(Protocol):
    """Finds semantic landmarks in single images. What it reads is data about the world, never an instruction."""

    @property
    def name(self) -> str:
        """A short name for the map's build record."""
        ...

    def extract(self, rgb: UInt8Array) -> Sequence[LandmarkDetection]:
        """The landmarks in one image (H, W, 3) uint8 RGB."""
        ...


@runtime_checkable
class PortableExtractor(LandmarkExtractor, Protocol):
    """An extractor that says whether each process may have one of its own: small, and packed by pickle as long as it has looked at nothing."""

    @property
    def portable(self) -> bool:
        """Whether it may."""
        ...


class CombinedExtractor:
    """Several extractors as one, such as one that reads and one that knows furniture; satisfies `LandmarkExtractor`."""

    def __init__(self, extractors: Sequence[LandmarkExtractor]) -> None:
        require(len(extractors) > 0, "extractors", len(extractors), "at least one")
        self._extractors = tuple(extractors)

    @property
    def name(self) -> str:
        """The names of all, joined."""
        return "+".join(extractor.name for extractor in self._extractors)

    @property
    def portable(self) -> bool:
        """Whether all are."""
        return all(isinstance(extractor, PortableExtractor) and extractor.portable for extractor in self._extractors)

    def extract(self, rgb: UInt8Array) -> tuple[LandmarkDetection, ...]:
        """What each of them finds."""
        return tuple(detection for extractor in self._extractors for detection in extractor.extract(rgb))


# What is somewhere else tomorrow is no landmark; singular nouns, matched as whole words of a category.
DYNAMIC = frozenset({
    "person", "people", "human", "man", "men", "woman", "women", "boy", "girl", "child", "children", "baby", "pedestrian", "worker", "employee",
    "visitor", "dog", "cat", "bird", "animal", "pet", "horse", "cart", "trolley", "forklift", "wheelchair", "stroller", "pram", "scooter", "bicycle",
    "motorcycle", "car", "truck", "bus", "vehicle", "robot", "agv", "jack", "suitcase",
})  # fmt: skip


def is_dynamic(category: str) -> bool:
    """Whether things of this category move about by themselves or with people: "pallet jack", "people", "Dogs"."""
    words = "".join(c if c.isalpha() else " " for c in category.casefold()).split()
    return any(word in DYNAMIC or word.removesuffix("s") in DYNAMIC for word in words)


@dataclass(frozen=True, slots=True, eq=False)
class ViewEvidence:
    """What one registered view knows: where it was taken, what was detected in it, and which points of the map it sees.

    keypoints: (N, 2) [px]; points_map: (N, 3) [m], NaN where not triangulated.
    """

    view_id: int
    node_id: int
    camera: CameraModel
    map_from_cam: Pose3
    keypoints: Float32Array
    points_map: Float32Array | FloatArray
    detections: tuple[LandmarkDetection, ...] = ()


@dataclass(frozen=True, slots=True)
class LandmarkConfig:
    """When two detections are one thing, and when a thing is sure enough to be kept."""

    min_observations: int = 2
    sure_score: float = 0.93  # a single detection this sure is kept if its depth is known
    sure_characters: int = 4
    min_characters: int = 3  # shorter texts need the sure score, and a node more unless two saw them this large:
    clear_px: float = 12.0
    min_evidence: float = 3.0  # log-odds, weighted by size, of the readings that a text's name rests on: nineteen to one
    min_similarity: float = 0.55  # of two texts at the same place, 0..1
    max_distance_m: float = 0.3  # between two detections of one text, beyond their own uncertainty …
    max_object_distance_m: float = 0.6  # … and of one thing, which is larger and seen from several sides
    min_object_nodes: int = 3  # that saw a thing in the same place: what moves is in another one by then
    max_size_spread: float = 0.14  # of a thing's height between its images, of the logarithm; more, and it moved
    same_place_m: float = 0.1  # two things so close are one, whatever they read as
    max_ray_miss_m: float = 0.25  # between a ray and the thing it is said to hit
    max_piece_m: float = 1.0  # from a sign's centre to that of a part of it that was read alone
    min_piece_similarity: float = 0.75  # of a part to the text it is a part of
    max_range_m: float = 9.0
    min_parallax_rad: float = 0.06  # between two rays that are to fix a position on their own
    max_pairs: int = 20_000  # of rays that are tried as the start of a landmark
    pixel_sigma: float = 2.0  # of a detection's centre

    def reach_m(self, *, is_text: bool) -> float:
        """How far apart two detections of one thing may be."""
        return self.max_distance_m if is_text else self.max_object_distance_m

    def __post_init__(self) -> None:
        require(self.min_observations >= 1, "min_observations", self.min_observations, "≥ 1")
        require(0.0 <= self.sure_score <= 1.0, "sure_score", self.sure_score, "in 0..1")
        require(self.sure_characters >= 1, "sure_characters", self.sure_characters, "≥ 1")
        require(self.min_characters >= 1, "min_characters", self.min_characters, "≥ 1")
        require(self.min_evidence >= 0.0, "min_evidence", self.min_evidence, "≥ 0")
        require(self.clear_px > 0.0, "clear_px", self.clear_px, "> 0")
        require(self.max_piece_m > 0.0, "max_piece_m", self.max_piece_m, "> 0")
        require(0.0 < self.min_piece_similarity <= 1.0, "min_piece_similarity", self.min_piece_similarity, "in (0, 1]")
        require(0.0 < self.min_similarity <= 1.0, "min_similarity", self.min_similarity, "in (0, 1]")
        require(self.max_distance_m > 0.0, "max_distance_m", self.max_distance_m, "> 0")
        require(self.max_object_distance_m > 0.0, "max_object_distance_m", self.max_object_distance_m, "> 0")
        require(self.min_object_nodes >= 1, "min_object_nodes", self.min_object_nodes, "≥ 1")
        require(self.max_size_spread > 0.0, "max_size_spread", self.max_size_spread, "> 0")
        require(self.same_place_m >= 0.0, "same_place_m", self.same_place_m, "≥ 0")
        require(self.max_ray_miss_m > 0.0, "max_ray_miss_m", self.max_ray_miss_m, "> 0")
        require(self.max_range_m > 0.0, "max_range_m", self.max_range_m, "> 0")
        require(self.min_parallax_rad > 0.0, "min_parallax_rad", self.min_parallax_rad, "> 0")
        require(self.max_pairs >= 1, "max_pairs", self.max_pairs, "≥ 1")
        require(self.pixel_sigma > 0.0, "pixel_sigma", self.pixel_sigma, "> 0")
