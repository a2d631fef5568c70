"""What a sentence names, and how: places wanted, places beside which they lie, places that are not meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from astra.global_model.language.words import FILLER, content, has_digit, same_word, spaced
from astra.perception.text import normalise_text

_NOT = frozenset("not no except without avoid excluding unlike dont other another different else besides apart isn don isnt".split())  # noqa: SIM905
_ANY = frozenset(("anything", "everything", "all", "any", "anywhere", "none", "nothing"))  # that makes a "but" exclude
_AFTER_IT = frozenset(("taken", "occupied", "busy", "closed", "full", "locked", "booked"))  # "203 is taken": what was named before is not meant
_INTO = frozenset("at to in into inside toward towards".split())  # noqa: SIM905
# What may follow a destination and say nothing of where it is: "… at the kitchen, can you take me there?"
_COURTESY = frozenset(
    "please now quickly quick fast soon then first again room area thanks thank you and can could would will you we us me i let s lead take bring guide "  # noqa: SIM905
    "show drive go move there step on it hurry up ok okay way the to today asap".split()
)
_EXCUSES = {"out of the question": "taken", "out of bounds": "closed", "off limits": "closed", "out of order": "closed", "in use": "occupied"}
_NEAREST = frozenset(("closest", "nearest", "next", "near", "beside", "by", "opposite"))  # "… the office closest to it"
_IT = frozenset(("it", "that", "there"))
_KNOWN = frozenset(("the", "our", "your", "this", "that"))
_ARTICLES = frozenset(("the", "a", "an", "our", "your", "some", "any", "this", "that"))
CUE_REACH = 3  # words from a negation to what it denies


@dataclass(frozen=True, slots=True)
class Mention:
    """Words `start` … `end` (exclusive) of the sentence name `name`: a label on the map, or else a kind of place or a thing."""

    start: int
    end: int
    name: str
    is_label: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A sentence taken apart: `words`, what is named in them, and which of it is wanted, beside what, and not meant.

    `number`: a room number that names nothing on the map, so that nothing on the map is meant.
    """

    words: tuple[str, ...]
    wanted: Mention | None = None
    beside: Mention | None = None
    avoided: Mention | None = None
    number: str = ""

    @property
    def coverage(self) -> float:
        """Share of the sentence's words of weight that name what is wanted."""
        if self.wanted is None:
            return 0.0
        weighty = [k for k, word in enumerate(self.words) if word not in FILLER]
        return sum(self.wanted.start <= k < self.wanted.end for k in weighty) / max(len(weighty), 1)

    @property
    def is_destination(self) -> bool:
        """Whether what is wanted ends the sentence behind a preposition, or is all of it: "let us meet at the kitchen", "the kitchen, quickly"."""
        if self.wanted is None or any(word not in _COURTESY for word in self.words[self.wanted.end :]):
            return False
        before = [word for word in self.words[: self.wanted.start] if word not in _ARTICLES]
        return not before or before[-1] in _INTO

    @property
    def is_pointed_at(self) -> bool:
        """Whether what is wanted is spoken of as something known: "the kitchen"."""
        wanted = self.wanted
        if wanted is None or wanted.start == 0 or self.words[wanted.start : wanted.end] != tuple(wanted.name.split()):
            return False
        return self.words[wanted.start - 1] in _KNOWN


def take_apart(text: str, labels: Sequence[str], names: Mapping[str, int], min_similarity: float) -> Request:
    """Find what a sentence names.

    Args:
        labels: normalised texts on the map.
        names: normalised names of kinds of place and of things, with the number of their kind.
    """
    words = _plain(spaced(normalise_text(text)))
    found = _without_overlap([*_labels(words, labels, min_similarity), *_names(words, names, min_similarity)])
    number = next((w for k, w in enumerate(words) if w.isdigit() and len(w) >= 2 and not any(m.start <= k < m.end for m in found)), "")
    if not found:
        return Request(words, number=number)
    cues = [k for k, word in enumerate(words) if _denies(words, k) and not any(m.start <= k < m.end for m in found)]
    avoided = _avoided(words, found, cues)
    rest = [m for m in found if m is not avoided]
    if not rest:
        return Request(words, None, None, avoided, number)
    beside = next((m for m in rest[1:] if m.name != rest[0].name), None)
    if beside is not None and _points_back(words[beside.end :]):
        return Request(words, beside, rest[0], avoided, number)
    return Request(words, rest[0], beside, avoided, number)


def _plain(text: str) -> tuple[str, ...]:
    """The words, with one word for each turn of phrase that says a place cannot be used."""
    for phrase, word in _EXCUSES.items():
        text = f" {text} ".replace(f" {phrase} ", f" {word} ").strip()
    return tuple(text.split())


def _points_back(behind: Sequence[str]) -> bool:
    """Whether words say "nearest to it": to what was named before."""
    return any(word in _NEAREST and _IT.intersection(behind[k + 1 : k + 4]) for k, word in enumerate(behind))


def _denies(words: Sequence[str], k: int) -> bool:
    return words[k] in _NOT or (words[k] == "but" and bool(_ANY.intersection(words[:k])))


def _avoided(words: Sequence[str], found: Sequence[Mention], cues: Sequence[int]) -> Mention | None:
    """What is not meant: of two names the one of a single room, else the one behind the negation."""
    occupied = [k for k, word in enumerate(words) if word in _AFTER_IT and words[k + 1 : k + 2] not in (("in",), ("to",))]  # "parcels are booked in"
    if occupied:
        before = [m for m in found if m.end <= occupied[0]]
        return before[-1] if before else None
    if not cues:
        return None
    single = [m for m in found if m.is_label]
    if len(found) > 1 and len(single) == 1:
        return single[0]
    behind = [m for m in found if any(0 < m.start - cue <= CUE_REACH for cue in cues)]
    return behind[0] if behind and (len(found) == 1 or behind[0] is not found[0]) else None


def _labels(words: Sequence[str], labels: Sequence[str], min_similarity: float) -> list[Mention]:
    """Labels all of whose words of weight occur in a row (filler between them does not count)."""
    out = []
    for label in dict.fromkeys(labels):
        wanted = content(spaced(label))
        for start in range(len(words)):
            end = _matched(words, start, wanted, min_similarity)
            if end is not None:
                out.append(Mention(_with_filler_before(words, start, spaced(label)), end, label, True))
                break
        else:  # a room's number says which room, whatever else the sign and the sentence call it
            numbers = [w for w in wanted if has_digit(w) and len(w) >= 2]
            out += [Mention(words.index(w), words.index(w) + 1, label, True) for w in numbers[:1] if w in words]
    return out


def _names(words: Sequence[str], names: Mapping[str, int], min_similarity: float) -> list[Mention]:
    out = []
    for name in names:
        wanted = name.split()
        for start in range(len(words) - len(wanted) + 1):
            if all(same_word(w, words[start + k], min_similarity) for k, w in enumerate(wanted)):
                out.append(Mention(start, start + len(wanted), name, False))
                break
    return out


def _matched(words: Sequence[str], start: int, wanted: Sequence[str], min_similarity: float) -> int | None:
    k = start
    for number, word in enumerate(wanted):
        while number and k < len(words) and words[k] in FILLER and word not in FILLER:
            k += 1
        if k >= len(words) or not (words[k] == word if has_digit(word) else same_word(word, words[k], min_similarity)):
            return None
        k += 1
    return k


def _with_filler_before(words: Sequence[str], start: int, label: str) -> int:
    """"room" in "room 317" belongs to the label ROOM 317."""
    own = label.split()
    return start - 1 if start > 0 and words[start - 1] in FILLER and words[start - 1] in own else start


def _without_overlap(found: Sequence[Mention]) -> list[Mention]:
    """The longest names, labels before kinds of place, in the sentence's order."""
    kept: list[Mention] = []
    for mention in sorted(found, key=lambda m: (-(m.end - m.start), not m.is_label, -len(m.name), m.start)):
        if all(mention.end <= other.start or mention.start >= other.end for other in kept):
            kept.append(mention)
    return sorted(kept, key=lambda m: m.start)
