"""The paper's Astra-Global on a multimodal language model (section 3.1.2): its claims are checked, its ids filtered, geometry decides."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from pydantic import BaseModel

from astra.core.config import require
from astra.core.types import FloatArray, UInt8Array
from astra.geometry import Pose2, Pose3
from astra.global_model.backends import prompts, schemas
from astra.global_model.backends.chat import ChatModel, Conversation, ModelUnavailableError
from astra.global_model.backends.parsing import parse_answer
from astra.global_model.backends.protocol import DetectedLandmark, Meaning, PosedImage, Sighting
from astra.topomap.types import Landmark

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer", bound=BaseModel)
_Match = TypeVar("_Match", schemas.CoarseMatch, schemas.GoalMatch)


@dataclass(frozen=True, slots=True)
class MllmConfig:
    """How much of the map a prompt shows, and how often the model is asked."""

    map_tokens: int = 6000  # of one prompt
    max_portions: int = 4  # of the map, for one image or instruction
    attempts: int = 2  # at an answer that fits its schema

    def __post_init__(self) -> None:
        require(200 <= self.map_tokens <= 200_000, "map_tokens", self.map_tokens, "between 200 and 200000")
        require(1 <= self.max_portions <= 100, "max_portions", self.max_portions, "between 1 and 100")
        require(1 <= self.attempts <= 5, "attempts", self.attempts, "between 1 and 5")


class MllmBackend:
    """Landmarks, matches, consistency, poses and goals by one `ChatModel`; satisfies `GlobalBackend`."""

    def __init__(self, model: ChatModel, config: MllmConfig | None = None) -> None:
        self.model, self.config = model, config or MllmConfig()
        self.unknown_ids = 0  # ids that the model named and the map lacks
        self.refused = 0  # answers that fit no schema
        self.unreachable = 0  # questions about images that stayed without an answer

    def prepare(self, landmarks: Sequence[Landmark]) -> None:
        """Nothing to do ahead."""

    def detect_landmarks(self, rgb: UInt8Array) -> tuple[DetectedLandmark, ...]:
        """Landmarks in an image (H, W, 3) uint8."""
        answer = self._see(prompts.extract_landmarks(rgb), schemas.LandmarkList)
        return tuple(DetectedLandmark(seen.label, seen.is_text, 1.0, polygon_px(seen.box, rgb)) for seen in (answer.landmarks if answer else ()))

    def describe(self, rgb: UInt8Array) -> tuple[schemas.SeenLandmark, ...]:
        """Landmarks with look and function, for mapping.

        Raises:
            ModelUnavailableError: the model could not be reached: a map without its landmarks is not built.
        """
        answer = self._ask(prompts.extract_landmarks(rgb), schemas.LandmarkList)
        return answer.landmarks if answer else ()

    def recognise(self, rgb: UInt8Array, landmarks: Sequence[Landmark], near: Pose2 | None = None) -> tuple[Sighting, ...]:
        """Landmarks of the map in an image, region by region outwards from `near`; the search ends with the first region that has some."""
        for portion in self._portions(landmarks, near):
            answer = self._see(prompts.match_landmarks(rgb, portion), schemas.CoarseAnswer)
            matches = self._known({landmark.id for landmark in portion}, answer.matches if answer else ())
            if matches:
                return tuple(Sighting(m.id, DetectedLandmark(m.label, m.is_text, m.score / 100.0, polygon_px(m.box, rgb)), m.score / 100.0) for m in matches)
        return ()

    def consistency(self, rgb: UInt8Array, reference: UInt8Array) -> float | None:
        """How much of one scene both images show, 0..1; None if the model gave no answer."""
        answer = self._see(prompts.consistency(rgb, reference), schemas.ConsistencyAnswer)
        return answer.score / 100.0 if answer else None

    def estimate_pose(self, rgb: UInt8Array, references: Sequence[PosedImage]) -> Pose3 | None:
        """map_from_cam as the model claims it; nothing has verified it."""
        answer = self._see(prompts.estimate_pose(rgb, references), schemas.PoseAnswer) if references else None
        if answer is None:
            return None
        position = (answer.x_cm / 100.0, answer.y_cm / 100.0, answer.z_cm / 100.0)
        return prompts.camera_from_angles(position, answer.yaw_deg, answer.pitch_deg, answer.roll_deg)

    def resolve_goal(self, text: str, landmarks: Sequence[Landmark], near: Pose2 | None = None) -> tuple[Meaning, ...]:
        """The landmarks that the sentence may mean, best first, from the first region that has one.

        Raises:
            ModelUnavailableError: the model could not be reached: that is no "not found".
        """
        for portion in self._portions(landmarks, near):
            answer = self._ask(prompts.resolve_goal(text, portion), schemas.GoalAnswer)
            matches = self._known({landmark.id for landmark in portion}, answer.matches if answer else ())
            if matches:
                return tuple(Meaning(m.id, m.score / 100.0, m.why) for m in sorted(matches, key=lambda m: (-m.score, m.id)))
        return ()

    def _portions(self, landmarks: Sequence[Landmark], near: Pose2 | None) -> list[tuple[Landmark, ...]]:
        portions = prompts.within_budget(landmarks, self.config.map_tokens, near)
        if len(portions) > self.config.max_portions:
            logger.warning("the map fills %d prompts; the first %d are asked", len(portions), self.config.max_portions)
        return portions[: self.config.max_portions]

    def _see(self, conversation: Conversation, kind: type[Answer]) -> Answer | None:
        """An answer about an image; none where the model cannot be reached, for geometry goes on without it."""
        try:
            return self._ask(conversation, kind)
        except ModelUnavailableError as error:
            self.unreachable += 1
            logger.warning("%s", error)
            return None

    def _ask(self, conversation: Conversation, kind: type[Answer]) -> Answer | None:
        """A checked answer, or None where the model's text fits no schema. A model that cannot be reached is an error, not an answer.

        Raises:
            ModelUnavailableError: the model could not be reached.
        """
        for _ in range(self.config.attempts):
            text = self.model.complete(conversation)
            try:
                return parse_answer(text, kind)
            except ModelUnavailableError as error:
                self.refused += 1
                logger.warning("%s: %s", self.model.name, error)
        return None

    def _known(self, ids: set[int], matches: Sequence[_Match]) -> list[_Match]:
        """Each id of the map once, unknown ones dropped and counted."""
        found: dict[int, _Match] = {}
        for match in matches:
            if match.id in ids:
                found.setdefault(match.id, match)
            else:
                self.unknown_ids += 1
        return list(found.values())


def polygon_px(box: tuple[int, int, int, int], rgb: UInt8Array) -> FloatArray:
    """Corners (4, 2) [px] of a box in thousandths, clockwise from its top left."""
    height, width = rgb.shape[:2]
    left, right = sorted((box[0] * width / 1000.0, box[2] * width / 1000.0))
    top, bottom = sorted((box[1] * height / 1000.0, box[3] * height / 1000.0))
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
