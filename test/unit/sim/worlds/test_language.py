"""Instructions have the answers that their plan gives them, and test sentences cannot be answered by matching words."""

from __future__ import annotations

import re

import numpy as np
import pytest

from astra.sim.worlds.language import Instruction, functions_of, instructions, intents, places, shared_wall_m, templates
from astra.sim.worlds.plan import CATEGORIES, KINDS, Model, Piece, Plan, Room, SignPlace, Split

SPLITS: tuple[Split, ...] = ("train", "validate", "test")
# Words without content: articles, pronouns, auxiliaries, and verbs of wanting and going that fit every goal.
EMPTY = frozenset(
    """a an the this that these those it its i me my we us our you your he she him her his they them nobody somebody one and or but of to in on at by for from
    with without into out up off over under before after is are was were be been am do does did have has had having can could would should must may might
    will shall let want need like please where who what which how here there now just soon again too also not no so all any some every each as if when
    while than then go take bring get give show put find look come keep thing place time whole large oneself between through""".split()  # noqa: SIM905
)


def _stems(text: str) -> set[str]:
    """Words with content, cut to their stem."""
    stems = set()
    for word in re.findall(r"[a-z]+", text.lower().replace("'", " ")):
        if word not in EMPTY and len(word) > 2:
            stem = re.sub(r"(ings|ing|ers|er|ies|ied|ed|es|s|y|e)$", "", word)
            stems.add(re.sub(r"(.)\1$", r"\1", stem if len(stem) > 2 else word))
    return stems - {re.sub(r"e$", "", w) for w in EMPTY}


def _office() -> Plan:
    desk, copier = Model("desk-a", "desk", (0.7, 1.4, 0.75)), Model("copier-a", "copier", (0.6, 0.7, 1.1))
    rooms = (
        Room("corridor", "corridor", "", (0, 4, 12, 6), "tiles", is_goal=False),
        Room("office_201", "office", "ROOM 201", (0, 0, 4, 4), "planks"),
        Room("office_202", "office", "ROOM 202", (8, 0, 12, 4), "planks"),
        Room("kitchen", "kitchen", "KITCHEN", (4, 0, 8, 1), "tiles"),
        Room("copy_room", "copy_room", "COPY ROOM", (0, 6, 4, 10), "tiles"),
        Room("meeting_203", "meeting_room", "MEETING 203", (4, 6, 12, 10), "carpet"),
    )
    pieces = (Piece(desk, 1, 1, 0, "office_201"), Piece(desk, 9, 1, 0, "office_202"), Piece(copier, 1, 8, 0, "copy_room"))
    signs = tuple(SignPlace(r.label, (1, 1), (0, 1), 0.15, 1.3, r.name) for r in rooms if r.label)
    return Plan("office", 3, (0, 0, 12, 10), 2.5, rooms, (), signs, pieces)


def _said(split: Split = "train", seed: int = 0) -> tuple[Instruction, ...]:
    return instructions(_office(), np.random.default_rng(seed), split)


def test_test_sentences_share_no_content_word_with_any_function() -> None:
    functions = {stem for kind in KINDS for place in places(kind).values() for text in place.functions for stem in _stems(text)}
    shared = {sentence: words for intent in intents("test") for sentence in intent.sentences if (words := _stems(sentence) & functions)}
    assert not shared


def test_splits_share_no_sentence() -> None:
    said = {split: {s.lower() for i in intents(split) for s in i.sentences} | {t for ts in templates(split).values() for t in ts} for split in SPLITS}
    assert not said["train"] & said["validate"] and not (said["train"] | said["validate"]) & said["test"]


def test_every_split_can_say_everything() -> None:
    for split in SPLITS:
        assert set(templates(split)) == set(templates("train"))
        assert all(len(intent.sentences) >= 2 for intent in intents(split))
    assert sum(len(i.sentences) for i in intents("test")) >= 80


def test_intents_name_rooms_that_exist() -> None:
    for intent in intents("train"):
        for kind, rooms in intent.rooms.items():
            assert set(rooms) <= set(places(kind)), intent.name
            assert kind not in intent.nowhere


def test_places_have_several_cues_and_known_furniture() -> None:
    for kind in KINDS:
        for name, place in places(kind).items():
            assert set(place.furniture) <= set(CATEGORIES), name
            assert len(place.functions) + len(place.furniture) >= 2 or name in ("hallway", "corridor", "main_aisle")
    assert "printing" in functions_of("office", "copy_room")[0]


@pytest.mark.parametrize("split", SPLITS)
def test_answers_follow_from_the_plan(split: Split) -> None:
    said = {kind: [i for i in _said(split) if i.kind == kind] for kind in ("explicit", "relational", "negative", "ambiguous")}
    explicit = {answer: i.text.lower() for i in said["explicit"] for answer in i.answers}
    assert "room 201" in explicit["office_201"] and "meeting 203" in explicit["meeting_203"]
    assert {i.answers for i in said["ambiguous"]} == {("office_201", "office_202")}
    for i in said["negative"]:
        avoided = "201" if "201" in i.text else "202"
        assert all(avoided not in answer for answer in i.answers) and i.answers
    assert not said["relational"]  # both offices adjoin the kitchen: the sentence would not tell them apart


def test_implied_needs_point_to_the_rooms_that_satisfy_them() -> None:
    for i in _said("train"):
        if "print" in i.text and i.kind == "implied":
            assert i.answers == ("copy_room",)
        if i.kind == "unanswerable":
            assert i.answers == ()
    assert any(i.kind == "unanswerable" for i in _said("train"))


def test_a_relation_is_said_where_one_room_alone_fulfils_it() -> None:
    plan = _office()
    apart = tuple(r if r.name != "office_202" else Room("office_202", "office", "ROOM 202", (9, 0, 12, 4), "planks") for r in plan.rooms)
    said = instructions(Plan(plan.kind, plan.seed, plan.outline, plan.height_m, apart, (), plan.signs, plan.pieces), np.random.default_rng(0), "train")
    assert [i.answers for i in said if i.kind == "relational" and "kitchen" in i.text] == [("office_201",)]


def test_objects_that_stand_in_one_room_are_goals() -> None:
    objects = {i.answers for i in _said() if i.kind == "object"}
    assert objects == {("copy_room",)}


def test_same_seed_same_sentences() -> None:
    assert _said("test", 7) == _said("test", 7)
    assert _said("test", 7) != _said("test", 8)


def test_shared_wall() -> None:
    a, b = Room("a", "office", "", (0, 0, 4, 4), "planks"), Room("b", "office", "", (4, 1, 8, 6), "planks")
    assert shared_wall_m(a, b) == pytest.approx(3.0)
    assert shared_wall_m(a, Room("c", "office", "", (4, 4, 8, 8), "planks")) == pytest.approx(0.0)
    assert shared_wall_m(a, Room("d", "office", "", (5, 0, 8, 4), "planks")) == 0.0
