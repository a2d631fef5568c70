"""What people say in a generated world, with the areas that answer it: explicit, implied, relational, negative, ambiguous, unanswerable.

Sentences of test worlds come from `test_phrasings.yaml`, written by hand and kept away from tuning; all others from `phrasings.yaml`. A second
set for tests, `unseen_phrasings.yaml`, was written later, for what had by then been improved with the first one known; `blind_phrasings.yaml`
and `fresh_phrasings.yaml` by writers who knew nothing of how sentences are understood.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from astra.core.config import load_yaml
from astra.sim.worlds.plan import Kind, Plan, Room, Split

InstructionKind = Literal["explicit", "object", "implied", "relational", "negative", "ambiguous", "unanswerable"]
Voice = Split | Literal["unseen", "blind", "fresh"]  # whose sentences: those of a split, or the later sets for tests
TESTS = {"test": "test_phrasings", "unseen": "unseen_phrasings", "blind": "blind_phrasings", "fresh": "fresh_phrasings"}
SHARED_WALL_M = 0.8  # rooms with at least this much wall in common are next to each other
PER_INTENT = 2  # sentences drawn for each intent of a world


@dataclass(frozen=True, slots=True)
class Instruction:
    """Something a person says and the areas that satisfy it; none if nothing in this world does.

    Any one of `answers` is right, except that an `ambiguous` sentence asks for a question back.
    """

    text: str
    answers: tuple[str, ...]
    kind: InstructionKind = "explicit"


@dataclass(frozen=True, slots=True)
class Place:
    """A category of room: what people call it, what it is for, by which furniture one tells it."""

    nouns: tuple[str, ...]
    functions: tuple[str, ...]
    furniture: tuple[str, ...]


@cache
def places(kind: Kind) -> dict[str, Place]:
    """The categories of room of a kind of world."""
    return {name: Place(tuple(p["nouns"]), tuple(p["functions"]), tuple(p["furniture"])) for name, p in _yaml("places")[kind].items()}


def functions_of(kind: Kind, category: str) -> tuple[str, ...]:
    """What rooms of a category are for; the cues that its landmarks carry."""
    return places(kind)[category].functions


def instructions(plan: Plan, rng: np.random.Generator, split: Voice) -> tuple[Instruction, ...]:
    """Sentences about a planned world, a few of each kind, with their right answers."""
    return _Speaker(plan, rng, split).speak()


class _Speaker:
    """Fills the sentences of one split with the rooms, signs and furniture of one plan."""

    def __init__(self, plan: Plan, rng: np.random.Generator, split: Voice) -> None:
        self._plan, self._rng = plan, rng
        self._goals = [room for room in plan.rooms if room.is_goal]
        self._said = templates(split)
        self._intents = intents(split)

    def speak(self) -> tuple[Instruction, ...]:
        """All sentences; no text occurs twice."""
        found: dict[str, Instruction] = {}
        for said in (self._explicit(), self._objects(), self._implied(), self._relational(), self._negative(), self._ambiguous(), self._unanswerable()):
            for instruction in said:
                found.setdefault(instruction.text, instruction)
        return tuple(found.values())

    def _draw(self, kind: str) -> str:
        return str(self._rng.choice(self._said[kind]))

    def _by_category(self) -> dict[str, list[Room]]:
        rooms: dict[str, list[Room]] = {}
        for room in self._goals:
            rooms.setdefault(room.category, []).append(room)
        return rooms

    def _explicit(self) -> list[Instruction]:
        """One for each thing that a sign or a common name tells apart."""
        said = []
        by_category = self._by_category()
        for room in self._goals:
            alone = len(by_category[room.category]) == 1
            called = room.label.lower() if room.label else "the " + places(self._plan.kind)[room.category].nouns[0] if alone else ""
            same = tuple(r.name for r in self._goals if room.label and r.label == room.label) or (room.name,)
            if called:
                said.append(Instruction(self._draw("explicit").format(label=called), same, "explicit"))
        return said

    def _objects(self) -> list[Instruction]:
        """One for each thing that shows what a room is for, if only one category of rooms has it."""
        said = []
        telling = {thing for place in places(self._plan.kind).values() for thing in place.furniture}
        goals = {room.name for room in self._goals}
        for category in sorted({piece.model.category for piece in self._plan.pieces} & telling):
            rooms = {piece.room for piece in self._plan.pieces if piece.model.category == category}
            if rooms <= goals and len(rooms) == 1:
                said.append(Instruction(self._draw("object").format(object=category.replace("_", " ")), tuple(sorted(rooms)), "object"))
        return said

    def _implied(self) -> list[Instruction]:
        """Needs that this world answers, and some that no world of its kind does."""
        said = []
        for intent in self._intents:
            wanted = intent.rooms.get(self._plan.kind, ())
            answers = tuple(room.name for room in self._goals if room.category in wanted)
            if answers:
                chosen = self._rng.choice(len(intent.sentences), min(PER_INTENT, len(intent.sentences)), replace=False)
                said += [Instruction(intent.sentences[int(i)], answers, "implied") for i in chosen]
            elif self._plan.kind in intent.nowhere:
                said.append(Instruction(str(self._rng.choice(intent.sentences)), (), "unanswerable"))
        return said

    def _relational(self) -> list[Instruction]:
        """Rooms of which there are several, told apart by a neighbour of which there is one."""
        said = []
        by_category = self._by_category()
        for category, rooms in by_category.items():
            for other_category, others in by_category.items():
                if len(rooms) < 2 or len(others) != 1 or other_category == category:
                    continue
                beside = [room for room in rooms if shared_wall_m(room, others[0]) >= SHARED_WALL_M]
                if len(beside) == 1:
                    nouns = {"noun": self._noun(category), "other": self._noun(other_category)}
                    said.append(Instruction(self._draw("relational").format(**nouns), (beside[0].name,), "relational"))
        return said

    def _negative(self) -> list[Instruction]:
        """Any of a category but one."""
        said = []
        for category, rooms in self._by_category().items():
            labelled = [room for room in rooms if room.label]
            if len(rooms) < 2 or not labelled:
                continue
            avoided = labelled[int(self._rng.integers(len(labelled)))]
            text = self._draw("negative").format(noun=self._noun(category), label=avoided.label.lower())
            said.append(Instruction(text, tuple(room.name for room in rooms if room.label != avoided.label), "negative"))
        return [instruction for instruction in said if instruction.answers]

    def _ambiguous(self) -> list[Instruction]:
        """One of several, and nothing said that tells which."""
        return [
            Instruction(self._draw("ambiguous").format(noun=self._noun(category)), tuple(room.name for room in rooms), "ambiguous")
            for category, rooms in self._by_category().items()
            if len(rooms) > 1
        ]

    def _unanswerable(self) -> list[Instruction]:
        """Things that no such building has, and a number that no sign bears."""
        texts = [str(t) for t in self._rng.choice(self._said["unanswerable"], min(3, len(self._said["unanswerable"])), replace=False)]
        shown = " ".join(sign.text for sign in self._plan.signs) + " ".join(room.label for room in self._goals)
        number = next(n for n in (int(v) for v in self._rng.integers(100, 999, 100)) if str(n) not in shown)
        return [Instruction(text, (), "unanswerable") for text in (*texts, self._draw("number").format(number=number))]

    def _noun(self, category: str) -> str:
        return places(self._plan.kind)[category].nouns[0]


@dataclass(frozen=True, slots=True)
class Intent:
    """A need, the categories of room that satisfy it in each kind of world, the kinds without such a room, and sentences that imply it."""

    name: str
    rooms: dict[Kind, tuple[str, ...]]
    nowhere: tuple[Kind, ...]
    sentences: tuple[str, ...]


@cache
def intents(split: Voice) -> tuple[Intent, ...]:
    """All needs, with the sentences of one split."""
    test = _yaml(TESTS[split])["implied"] if split in TESTS else {}
    return tuple(
        Intent(
            name,
            {kind: tuple(rooms) for kind, rooms in entry["rooms"].items()},
            tuple(entry.get("nowhere", ())),
            tuple(str(text) for text in (test[name] if split in TESTS else entry[split])),
        )
        for name, entry in _yaml("phrasings")["implied"].items()
    )


@cache
def templates(split: Voice) -> dict[str, list[str]]:
    """Sentences with gaps, by kind of instruction, of one split."""
    source = _yaml(TESTS[split]) if split in TESTS else _yaml("phrasings")[split]
    return {kind: [str(text) for text in texts] for kind, texts in source.items() if kind != "implied"}


def shared_wall_m(a: Room, b: Room) -> float:
    """The length of the wall that two rooms have in common, 0 if they do not touch."""
    ax0, ay0, ax1, ay1 = a.box
    bx0, by0, bx1, by1 = b.box
    across_x, across_y = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    touching = min(across_x, across_y)
    return max(across_x, across_y) if abs(touching) < 1e-6 else 0.0


def _yaml(name: str) -> dict[str, Any]:
    return load_yaml(Path(__file__).with_name(f"{name}.yaml"))
