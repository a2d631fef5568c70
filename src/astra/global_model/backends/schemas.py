"""The answers that the multimodal steps accept, as pydantic models: anything else is refused, nothing is guessed.

Numbers are integers (per cent, centimetres, degrees): language models count better than they round, and a grammar can bound their digits.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Short = Annotated[str, Field(max_length=80)]
Sentence = Annotated[str, Field(max_length=240)]
Percent = Annotated[int, Field(ge=0, le=100)]
Permille = Annotated[int, Field(ge=0, le=1000)]
Id = Annotated[int, Field(ge=0, le=9_999_999)]
Centimetres = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
Degrees = Annotated[int, Field(ge=-360, le=360)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeenLandmark(_Answer):
    """A landmark in an image: its category or the text on it, its look, what the place is for, and its box in thousandths of the image."""

    label: Short
    is_text: bool
    look: Short
    function: Sentence
    box: tuple[Permille, Permille, Permille, Permille]


class LandmarkList(_Answer):
    """Landmark extraction, for mapping."""

    landmarks: Annotated[tuple[SeenLandmark, ...], Field(max_length=24)]


class CoarseMatch(_Answer):
    """A landmark of the map recognised in the image."""

    id: Id
    label: Short
    is_text: bool
    look: Short
    box: tuple[Permille, Permille, Permille, Permille]
    score: Percent


class CoarseAnswer(_Answer):
    """Coarse localization: the landmarks of the map that the image shows."""

    matches: Annotated[tuple[CoarseMatch, ...], Field(max_length=24)]


class ConsistencyAnswer(_Answer):
    """How much of one scene two images share, 0 (nothing) to 100."""

    score: Percent


class PoseAnswer(_Answer):
    """Where the query's camera is, in the frame of the references: position and viewing direction."""

    x_cm: Centimetres
    y_cm: Centimetres
    z_cm: Centimetres
    yaw_deg: Degrees
    pitch_deg: Degrees
    roll_deg: Degrees


class GoalMatch(_Answer):
    """A landmark that the instruction may mean."""

    id: Id
    score: Percent
    why: Sentence


class GoalAnswer(_Answer):
    """Goal resolution: best first; empty if nothing on the map is meant."""

    matches: Annotated[tuple[GoalMatch, ...], Field(max_length=8)]
