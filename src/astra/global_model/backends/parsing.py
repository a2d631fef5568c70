"""From a model's text to a checked answer: strict JSON, a bounded repair of what weak models get wrong, and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from astra.global_model.backends.chat import ModelUnavailableError

MAX_CHARACTERS = 20_000  # a longer answer is no answer
Answer = TypeVar("Answer", bound=BaseModel)


def parse_answer(text: str, kind: type[Answer]) -> Answer:
    """The answer in a model's text.

    Tried in turn: the text as it is; the outermost braces in it; the same without trailing commas; the same with what was cut off at the end
    closed. The first that fits the schema is taken.

    Raises:
        ModelUnavailableError: none fits.
    """
    if len(text) > MAX_CHARACTERS:
        raise ModelUnavailableError(f"the model's answer has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    problem = "it holds no JSON object"
    for candidate in _candidates(text):
        document = _load(candidate)
        if document is None:
            continue
        try:
            return kind.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(str(part) for part in first['loc']) or 'it'}: {first['msg']}"
    raise ModelUnavailableError(f"the model's answer is no {kind.__name__}: {problem}")


def _candidates(text: str) -> tuple[str, ...]:
    start, end = text.find("{"), text.rfind("}")
    if start < 0:
        return (text,)
    inner = text[start : end + 1] if end > start else text[start:]
    plain = re.sub(r",\s*([}\]])", r"\1", inner)
    return (text.strip(), inner, plain, _closed(text[start:]))


def _load(text: str) -> Any:
    try:
        document = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _closed(text: str) -> str:
    """A text that was cut off, up to its last whole list entry, with its brackets closed."""
    stack: list[str] = []
    whole, closing = 0, ""
    inside = escaped = False
    for i, c in enumerate(text):
        if inside:
            inside, escaped = escaped or c != '"', c == "\\" and not escaped
        elif c == '"':
            inside = True
        elif c in "{[":
            stack.append("}" if c == "{" else "]")
        elif c in "}]" and stack and stack[-1] == c:
            stack.pop()
            whole, closing = i + 1, "".join(reversed(stack))
            if not stack:
                break
    return text[:whole] + closing
