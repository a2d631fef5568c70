"""Places of a map: landmarks that belong together, and which kind of place they show. Signs stand for one place each; objects add up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray
from astra.global_model.language.concepts import Concept, concepts_named
from astra.global_model.language.words import same_word
from astra.perception.text import landmark_name, normalise_text
from astra.topomap.types import Landmark

WIDTH_M = 4.5  # of a place's objects
NUMBER_REACH_M = 6.0  # between the objects of a room and the sign with its number
SIGN_REACH_M = 8.0  # between a sign and another of the same text, or the objects of its kind of place
HINT = 0.35  # what an object counts that stands elsewhere too
ROW_SIGN = re.compile(r"(?P<row>[a-z]?)[ -]?[0-9]{1,2}")  # A1, B-02, 03: rows of racks
ROW_SIGNS = 3  # of one letter make rows
ROW = 0.6  # how far such a sign shows an aisle
HINTS = 0.45  # what any number of them counts where nothing else shows the kind


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Landmarks that mean one place: `centre` (2,) [m, map]; `kinds` (C,) how far they show each kind of place: 1 is a sign, or one object that
    stands nowhere else."""

    number: int
    landmarks: tuple[Landmark, ...]
    centre: FloatArray
    kinds: FloatArray

    @property
    def has_sign(self) -> bool:
        """Whether a text names it."""
        return any(mark.is_text for mark in self.landmarks)


def find_places(landmarks: Sequence[Landmark], concepts: tuple[Concept, ...], min_similarity: float) -> tuple[Place, ...]:
    """Group a map's landmarks into places."""
    groups = _signs(landmarks) + _objects(landmarks)
    kinds = [_kinds(group, concepts, min_similarity) for group in groups]
    groups, kinds = _joined(groups, kinds)
    _mark_rows(groups, kinds, next((i for i, concept in enumerate(concepts) if concept.name == "aisle"), -1))
    return tuple(Place(n, tuple(group), _centre(group), kind) for n, (group, kind) in enumerate(zip(groups, kinds)))


def _mark_rows(groups: list[list[Landmark]], shown: list[FloatArray], aisle: int) -> None:
    """Signs of a letter and a number, several in a row and with nothing else that tells what is there, stand at aisles between racks."""
    found = [ROW_SIGN.fullmatch(normalise_text(group[0].label)) if group[0].is_text and not kinds.any() else None for group, kinds in zip(groups, shown)]
    rows = {normalise_text(group[0].label): match["row"] for group, match in zip(groups, found) if match}
    count = Counter(rows.values())
    for match, kinds in zip(found, shown):
        if match and count[match["row"]] >= ROW_SIGNS:
            kinds[aisle] = ROW


def _signs(landmarks: Sequence[Landmark]) -> list[list[Landmark]]:
    """Texts; those of one name a room's length apart are one place, such as a sign at the door and one inside."""
    groups: list[list[Landmark]] = []
    by_name: dict[str, list[list[Landmark]]] = {}
    for mark in (m for m in landmarks if m.is_text):
        namesakes = by_name.setdefault(landmark_name(mark.label), [])
        same = next((g for g in namesakes if _gap(g, mark) <= SIGN_REACH_M), None)
        if same is not None:
            same.append(mark)
        else:
            groups.append([mark])
            namesakes.append(groups[-1])
    return groups


def _objects(landmarks: Sequence[Landmark]) -> list[list[Landmark]]:
    """Objects that stand within a room's width of each other (complete linkage)."""
    from scipy.cluster.hierarchy import fcluster, linkage

    marks = [mark for mark in landmarks if not mark.is_text]
    if len(marks) < 2:
        return [[mark] for mark in marks]
    number = fcluster(linkage(np.array([mark.position_map[:2] for mark in marks]), "complete"), WIDTH_M, "distance")
    return [[mark for mark, own in zip(marks, number) if own == n] for n in np.unique(number)]


def _joined(groups: list[list[Landmark]], shown: list[FloatArray]) -> tuple[list[list[Landmark]], list[FloatArray]]:
    """Objects join the nearest sign of their own kind of place, or else, one group each, a sign that says no kind, such as a room's number."""
    signs = [k for k, group in enumerate(groups) if group[0].is_text]
    pairs = []
    for k, group in enumerate(groups):
        if group[0].is_text or not shown[k].any():
            continue
        kind = int(np.argmax(shown[k]))
        for s in signs:
            distance = float(np.linalg.norm(_centre(groups[s]) - _centre(group)))
            silent = not shown[s].any() and any(c.isdigit() for c in groups[s][0].label)
            if shown[s][kind] > 0.0 and distance <= SIGN_REACH_M:
                pairs.append((0, distance, k, s))
            elif silent and distance <= NUMBER_REACH_M:
                pairs.append((1, distance, k, s))
    home: dict[int, int] = {}
    numbered: dict[int, int] = {}
    for silent_sign, _, k, s in sorted(pairs):
        if k not in home and not (silent_sign and s in numbered):
            home[k] = s
            if silent_sign:
                numbered[s] = k
    joined = {s: [*groups[s], *(mark for k, own in home.items() if own == s for mark in groups[k])] for s in signs}
    kinds = {s: shown[numbered[s]] if s in numbered else shown[s] for s in signs}
    rest = [k for k in range(len(groups)) if k not in home]
    return [joined.get(k, groups[k]) for k in rest], [kinds.get(k, shown[k]) for k in rest]


def _kinds(group: Sequence[Landmark], concepts: tuple[Concept, ...], min_similarity: float) -> FloatArray:
    """What a group shows: a sign by its words; objects add up."""
    out, hints = np.zeros(len(concepts)), np.zeros(len(concepts))
    for mark in group:
        label = normalise_text(mark.label)
        if mark.is_text:
            out[list(concepts_named(label, concepts, min_similarity))] = 1.0
            continue
        for i, concept in enumerate(concepts):
            if any(same_word(label, thing, 1.0) for thing in concept.things):
                out[i] += 1.0
            elif any(same_word(label, hint, 1.0) for hint in concept.hints):
                hints[i] += HINT
    return np.where(out > 0.0, out + hints, np.minimum(hints, HINTS))


def _gap(group: Sequence[Landmark], mark: Landmark) -> float:
    return min(float(np.linalg.norm(np.asarray(other.position_map[:2]) - mark.position_map[:2])) for other in group)


def _centre(group: Sequence[Landmark]) -> FloatArray:
    centre: FloatArray = np.mean([mark.position_map[:2] for mark in group], axis=0)
    return centre
