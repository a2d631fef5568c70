"""Only answers that fit their schema leave the parser; what weak models get wrong is mended, nothing is guessed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.global_model.backends.chat import ModelUnavailableError
from astra.global_model.backends.parsing import MAX_CHARACTERS, parse_answer
from astra.global_model.backends.schemas import ConsistencyAnswer, GoalAnswer, PoseAnswer

GOAL = {"matches": [{"id": 3, "score": 90, "why": "sofas"}, {"id": 5, "score": 50, "why": "chairs"}]}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOAL),
        f"```json\n{json.dumps(GOAL, indent=2)}\n```",
        f"Sure! Here it is: {json.dumps(GOAL)} I hope this helps.",
        json.dumps(GOAL).replace("}]}", "},]}"),
    ],
)
def test_an_answer_is_found_in_what_surrounds_it(text: str) -> None:
    assert [m.id for m in parse_answer(text, GoalAnswer).matches] == [3, 5]


def test_an_answer_cut_off_keeps_its_whole_entries() -> None:
    text = json.dumps(GOAL)
    assert [m.id for m in parse_answer(text[: text.index('"why": "chairs"') + 4], GoalAnswer).matches] == [3]


@pytest.mark.parametrize(
    "text",
    [
        "", "I cannot tell.", "[]", "null", '{"score": 200}', '{"score": "high"}', '{"score": 50, "note": "extra"}', '{"score": NaN}', '{"score": Infinity}',
        "{" * 5000, "x" * (MAX_CHARACTERS + 1),
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ModelUnavailableError, match="answer"):
        parse_answer(text, ConsistencyAnswer)


def test_ids_that_are_no_ids_are_refused() -> None:
    for bad in (-1, 1.5, "3; drop", None, 10**9):
        with pytest.raises(ModelUnavailableError):
            parse_answer(json.dumps({"matches": [{"id": bad, "score": 100, "why": ""}]}), GoalAnswer)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    for candidate in (text, "{" + text, json.dumps({"x": text}), '{"x": 1, "y": ' + text):
        try:
            answer = parse_answer(candidate, PoseAnswer)
        except ModelUnavailableError:
            continue
        assert abs(answer.x_cm) <= 1_000_000
