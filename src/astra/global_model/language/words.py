"""Words compared as people and OCR write them: slips forgiven, numbers exact."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache

FILLER = frozenset(["room", "area", "zone", "the", "a", "an", "of", "and", "for", "to", "in", "at", "corner", "space", "sign", "door", "place"])


@lru_cache(maxsize=16384)
def spaced(text: str) -> str:
    """Letters and digits apart, as people write room names either way: "room201" → "room 201"."""
    return re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", text)


def content(text: str) -> list[str]:
    """The words that carry meaning; all of them if none does."""
    words = text.split()
    return [w for w in words if w not in FILLER] or words


@lru_cache(maxsize=16384)
def has_digit(word: str) -> bool:
    """Whether the word is or holds a number."""
    return any(c.isdigit() for c in word)


@lru_cache(maxsize=65536)
def same_word(a: str, b: str, min_similarity: float) -> bool:
    """Whether two words are one, but for a plural or a slip; numbers and short words must agree letter by letter."""
    if a == b or a.rstrip("s") == b.rstrip("s"):
        return True
    if min(len(a), len(b)) < 4 or has_digit(a) or has_digit(b) or a.startswith(b) or b.startswith(a):
        return False  # "close" is no slip of "closet"
    if 2 * min(len(a), len(b)) < min_similarity * (len(a) + len(b)):
        return False
    letters = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return letters.quick_ratio() >= min_similarity and letters.ratio() >= min_similarity


@lru_cache(maxsize=16384)
def _parts(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """A normalised text without its spaces, its words of weight, and those of them with digits; a large map's labels are taken apart once."""
    text = spaced(text)
    words = tuple(content(text))
    return text.replace(" ", ""), words, tuple(w for w in words if has_digit(w))


def word_overlap(phrase: str, label: str, min_similarity: float) -> float:
    """How well a normalised label names what a normalised phrase asks for, 0..1: 1 if they are the same but for filler words.

    Words must agree letter by letter but for OCR's slips, numbers exactly; a phrase with a number never means a label without it.
    """
    if not phrase or not label:
        return 0.0
    phrase, asked, numbers = _parts(phrase)
    label, shown, shown_numbers = _parts(label)
    if phrase == label:
        return 1.0
    if numbers and numbers != shown_numbers:
        return 0.0
    if "".join(asked) == "".join(shown):
        return 1.0
    hit = [w for w in shown if any(same_word(w, a, min_similarity) for a in asked)]
    hit_asked = [a for a in asked if any(same_word(w, a, min_similarity) for w in shown)]
    if len(hit) == len(shown):  # the label's words all occur: "the kitchen on the left" names KITCHEN
        return 0.8 + 0.2 * len(hit_asked) / len(asked)
    if len(hit_asked) == len(asked):  # all that is asked for occurs: "meeting" names MEETING ROOM BERLIN
        return 0.7 + 0.2 * len(hit) / len(shown)
    # A room's number says which room, whatever else the sign and the sentence call it.
    return 0.8 if any(sum(c.isdigit() for c in w) >= 2 for w in numbers) else 0.0
