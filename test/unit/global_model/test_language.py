"""Sentences that name, relate, exclude, imply; over a small floor with signs and objects at known places."""

import numpy as np
import pytest

from astra.global_model.backends.embedded import EmbeddedBackend
from astra.global_model.language.concepts import load_concepts
from astra.global_model.language.mentions import take_apart
from astra.global_model.language.places import find_places
from astra.topomap import Landmark

# Label, whether it is a sign, where.
FLOOR = [
    ("ROOM 201", True, (0, 0)), ("desk", False, (0, 2)), ("office chair", False, (0.5, 2.3)),
    ("ROOM 203", True, (10, 0)), ("desk", False, (10, 2)),
    ("MEETING 204", True, (20, 0)), ("MEETING 208", True, (40, 0)),
    ("KITCHEN", True, (23, 0)), ("fridge", False, (23, 3)),
    ("copier", False, (31, 2)), ("bed", False, (60, 0)), ("sofa", False, (70, 0)), ("tv", False, (72, 1)), ("bed", False, (80, 0)),
]  # fmt: skip


@pytest.fixture(scope="module")
def backend():
    return EmbeddedBackend()


@pytest.fixture(scope="module")
def floor():
    return [Landmark(k, label, is_text, "", "", np.array([*at, 1.4]), 0.1, (), ()) for k, (label, is_text, at) in enumerate(FLOOR)]


def best(backend, floor, sentence):
    meanings = backend.resolve_goal(sentence, floor)
    if not meanings:
        return None
    first = meanings[0]
    equals = {m.place for m in meanings if m.score >= first.score - 0.01}
    return "several" if len(equals) > 1 else first.landmark_id


@pytest.mark.parametrize(
    ("sentence", "landmark"),
    [
        ("please head for room 203", 3), ("could you drive me over to ROOM203 now", 3), ("the kitchn, quick", 7), ("where is the fridge", 8),
        ("park yourself beside the copier", 9),
        ("take me to the living room", 11), ("go to the sofa", 11), ("I need to print something", 9),
        ("the meeting room next to the kitchen", 5), ("a bedroom near the living room", 10 + 3), ("a meeting room that is not 204", 6),
        ("room 201 is taken, find another office", 3), ("anything except meeting 208, please", 5), ("my stomach is empty, something to eat please", 7),
    ],
)  # fmt: skip
def test_sentences_lead_to_the_place(backend, floor, sentence, landmark):
    found = best(backend, floor, sentence)
    expected = {landmark} | ({11, 12} if landmark == 11 else set())
    assert found in expected


@pytest.mark.parametrize("sentence", ["go to the bedroom", "a meeting room", "which office is free"])
def test_what_could_be_several_places_asks_back(backend, floor, sentence):
    assert best(backend, floor, sentence) == "several"


@pytest.mark.parametrize("sentence", ["room 205", "take me to number 999", "where can I swim", "the bathtub", "catch a train to the coast"])
def test_what_is_not_there_is_refused(backend, floor, sentence):
    assert best(backend, floor, sentence) is None


def test_a_room_number_belongs_to_the_desk_behind_its_door(floor):
    concepts = load_concepts()
    office = next(i for i, c in enumerate(concepts) if c.name == "office")
    places = find_places(floor, concepts, 0.84)
    rooms = {p.landmarks[0].label: p for p in places if p.has_sign}
    assert rooms["ROOM 201"].kinds[office] >= 1.0 and {m.label for m in rooms["ROOM 201"].landmarks} == {"ROOM 201", "desk", "office chair"}
    assert len({p.number for p in places}) == len(places)


def test_a_sentence_is_taken_apart():
    names = {"meeting room": 0, "kitchen": 1}
    request = take_apart("A meeting room by the kitchen, but not MEETING 204!", ["meeting 204", "kitchen"], names, 0.84)
    assert request.wanted.name == "meeting room" and request.avoided.name == "meeting 204" and request.beside.name == "kitchen"
    assert take_apart("room 999", ["room 201"], names, 0.84).number == "999"
    assert take_apart("", ["room 201"], names, 0.84).wanted is None


@pytest.mark.parametrize("text", ["x" * 10_000, "a " * 3000, "\x00\x1b[31m", "'; DROP TABLE nodes; --", "{\"id\": 3}", "🤖" * 50])
def test_any_text_is_only_a_sentence(backend, floor, text):
    known = {mark.id for mark in floor}
    assert {m.landmark_id for m in backend.resolve_goal(text, floor)} <= known


def test_a_word_speaks_for_a_place_where_no_sentence_is_near(backend, floor):
    assert best(backend, floor, "the photocopies for tomorrow are missing") == 9


def test_what_stands_in_a_numbered_room_that_shows_several_kinds_is_the_goal(backend):
    mixed = [("311", True, (0, 0)), ("fridge", False, (0, 2)), ("desk", False, (0.5, 2.5)), ("KANTINE", True, (30, 0))]
    marks = [Landmark(k, label, is_text, "", "", np.array([*at, 1.4]), 0.1, (), ()) for k, (label, is_text, at) in enumerate(mixed)]
    assert best(backend, marks, "I am hungry") == 1


def test_signs_of_rows_are_aisles_and_planets_are_meeting_rooms(backend):
    signs = [*((f"A{k}", True, (4 * k, 0)) for k in range(1, 5)), ("MARS", True, (40, 0)), ("EXIT", True, (50, 0))]
    marks = [Landmark(k, label, is_text, "", "", np.array([*at, 1.4]), 0.1, (), ()) for k, (label, is_text, at) in enumerate(signs)]
    assert best(backend, marks, "go to the aisle") == "several"
    assert best(backend, marks, "where does the team discuss the contract") == 4
    assert best(backend, marks[:4], "fly me to mars") is None


def test_a_few_plants_make_no_lounge(backend):
    plants = [("plant", False, (0, 0)), ("plant", False, (1, 0)), ("BREAK ROOM", True, (30, 0))]
    marks = [Landmark(k, label, is_text, "", "", np.array([*at, 1.4]), 0.1, (), ()) for k, (label, is_text, at) in enumerate(plants)]
    assert best(backend, marks, "I am exhausted and my legs ache") == 2
