"""How alike two readings of one sign are, and which reading is right."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from astra.perception.text import normalise_text

MIN_WHOLE = 0.5  # of a part's votes that a longer reading must have of its own


def letters(text: str) -> str:
    """The letters and digits of a text, lower case, without blanks."""
    return normalise_text(text).replace(" ", "")


def similarity(a: str, b: str) -> float:
    """How alike two texts are, 0..1, without regard to case, punctuation and blanks. Numbers that differ make different texts."""
    return _similarity(*sorted((letters(a), letters(b))))


def part_similarity(part: str, whole: str) -> float:
    """How well a text reads as a piece of a longer one, 0..1; 0 if it is not shorter."""
    return _part_similarity(letters(part), letters(whole))


def majority(votes: Sequence[tuple[str, float]]) -> str:
    """The text with most score behind it, in its commonest spelling; blanks, case and punctuation do not divide the votes."""
    total: dict[str, float] = defaultdict(float)
    spelling: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for text, score in votes:
        key = letters(text)
        # Letters that are missed are commoner than letters made up: of equally frequent readings the longer wins.
        total[key] += score * (1.0 + 0.02 * len(key))
        # So are blanks that are missed.
        spelling[key][text] += score * len(normalise_text(text).split())
    if not total:
        return ""
    # A reading of a part speaks for the whole, if the whole was read about as well.
    whole = {key: value + sum(total[k] for k in total if k != key and k in key and k and value >= MIN_WHOLE * total[k]) for key, value in total.items()}
    spellings = spelling[max(whole, key=lambda key: whole[key])]
    return max(spellings, key=lambda text: (spellings[text], text))


@lru_cache(maxsize=65536)
def _similarity(p: str, q: str) -> float:
    if not p or not q:
        return float(p == q)
    ratio = SequenceMatcher(None, p, q, autojunk=False).ratio()
    numbers = re.findall(r"\d+", p), re.findall(r"\d+", q)
    if numbers[0] and numbers[1] and numbers[0] != numbers[1] and [len(n) for n in numbers[0]] == [len(n) for n in numbers[1]]:
        ratio *= 0.6
    return ratio


@lru_cache(maxsize=65536)
def _part_similarity(part: str, whole: str) -> float:
    if not part or len(part) >= len(whole):
        return 0.0
    if part in whole:
        return 1.0
    windows = (whole[i : i + len(part)] for i in range(len(whole) - len(part) + 1))
    return max(SequenceMatcher(None, part, window, autojunk=False).ratio() for window in windows)
