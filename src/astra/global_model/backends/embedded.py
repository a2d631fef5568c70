"""The backend that runs anywhere: text read by OCR; sentences understood by names, an ontology of places, and embeddings (`language`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from astra.core.config import require
from astra.core.types import UInt8Array
from astra.geometry import Pose2, Pose3
from astra.global_model.backends.protocol import DetectedLandmark, Meaning, PosedImage, Sighting
from astra.global_model.coarse import match_landmarks
from astra.global_model.language.resolver import GoalLanguage, LanguageConfig
from astra.perception.embedding import TextEmbedder, TextEmbedderConfig
from astra.perception.text import TextReader, TextReaderConfig
from astra.topomap.types import Landmark


@dataclass(frozen=True, slots=True)
class EmbeddedConfig:
    """How texts are read, compared and understood."""

    min_text_similarity: float = 0.80  # of a text in an image and a landmark's, letters and digits
    language: LanguageConfig = field(default_factory=LanguageConfig)
    reader: TextReaderConfig = field(default_factory=TextReaderConfig)
    embedder: TextEmbedderConfig = field(default_factory=TextEmbedderConfig)

    def __post_init__(self) -> None:
        require(0 < self.min_text_similarity <= 1, "min_text_similarity", self.min_text_similarity, "in (0, 1]")


class EmbeddedBackend:
    """OCR landmarks and goals by words and meaning, on the CPU, without a language model."""

    def __init__(self, config: EmbeddedConfig | None = None) -> None:
        self.config = config or EmbeddedConfig()
        self._reader = TextReader(self.config.reader)
        self._language = GoalLanguage(self.config.language, TextEmbedder(self.config.embedder))

    def prepare(self, landmarks: Sequence[Landmark]) -> None:
        """Embed the ontology and a map's landmarks ahead of the first goal, which then costs one sentence."""
        self._language.prepare(landmarks)

    def detect_landmarks(self, rgb: UInt8Array) -> tuple[DetectedLandmark, ...]:
        """Lines of text in the image."""
        return tuple(DetectedLandmark(d.text, True, d.score, d.polygon) for d in self._reader.read(rgb))

    def recognise(self, rgb: UInt8Array, landmarks: Sequence[Landmark], near: Pose2 | None = None) -> tuple[Sighting, ...]:
        """Landmarks whose text is read in the image."""
        del near  # comparing texts is quick: the whole map is compared
        matches = match_landmarks([self.detect_landmarks(rgb)], landmarks, self.config.min_text_similarity)
        return tuple(Sighting(m.landmark_id, m.detection, m.similarity) for m in matches)

    def consistency(self, rgb: UInt8Array, reference: UInt8Array) -> float | None:
        """Left to geometry."""
        return None

    def estimate_pose(self, rgb: UInt8Array, references: Sequence[PosedImage]) -> Pose3 | None:
        """Left to geometry."""
        return None

    def resolve_goal(self, text: str, landmarks: Sequence[Landmark], near: Pose2 | None = None) -> tuple[Meaning, ...]:
        """The landmarks named by the sentence; else those whose kind of place or function fits it best, unless a place the map lacks fits better."""
        del near  # the finder prefers the nearest of equal meanings
        return self._language.resolve(text, landmarks) if landmarks else ()
