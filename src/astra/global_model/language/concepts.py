"""Kinds of place: what they are called, what stands there, what people want there. The ontology ships as `concepts.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import yaml

from astra.core.types import Float32Array, FloatArray, IntArray
from astra.global_model.language.vocabulary import Vocabulary
from astra.global_model.language.words import same_word
from astra.perception.embedding import TextEmbedder
from astra.perception.text import normalise_text


@dataclass(frozen=True, slots=True)
class Concept:
    """A kind of place; texts are normalised. `instead`: kinds of place that will do where the map has none of this;
    `signs`: names that signs there bear and that mean nothing elsewhere."""

    name: str
    names: tuple[str, ...]
    uses: tuple[str, ...]
    things: tuple[str, ...] = ()  # objects that give it away
    hints: tuple[str, ...] = ()  # objects that stand there and elsewhere too
    instead: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()


@cache
def load_concepts() -> tuple[Concept, ...]:
    """The ontology of places that ships with this package."""
    document = yaml.safe_load(resources.files(__package__).joinpath("concepts.yaml").read_text(encoding="utf-8"))
    return tuple(
        Concept(
            str(name), _texts(entry["names"]), _lines(entry["uses"]), _texts(entry.get("things", ())), _texts(entry.get("hints", ())),
            tuple(entry.get("instead", ())), _lines(entry.get("signs", ())),
        )
        for name, entry in document.items()
    )  # fmt: skip


@cache
def load_elsewhere() -> tuple[str, ...]:
    """Names of places that buildings like these do not have."""
    document = yaml.safe_load(resources.files(__package__).joinpath("elsewhere.yaml").read_text(encoding="utf-8"))
    return _texts([name for names in document.values() for name in names.split(", ")])


def _lines(lines: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text for line in lines for text in _texts(line.split(", ")))


def _texts(texts: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(normalise_text(str(text)) for text in texts))


def concepts_named(label: str, concepts: tuple[Concept, ...], min_similarity: float) -> tuple[int, ...]:
    """The kinds of place whose name a sign's normalised text contains; where one name holds another, the longer: "phone room", not "room"."""
    found: dict[int, int] = {i: len(label) for i, concept in enumerate(concepts) if label in concept.signs}
    for i, concept in enumerate(concepts):
        lengths = [len(name) for name in concept.names if _contains(label, name, min_similarity)]
        if lengths:
            found[i] = max(lengths)
    longest = max(found.values(), default=0)
    return tuple(i for i, length in found.items() if length >= 0.6 * longest)


def _contains(label: str, name: str, min_similarity: float) -> bool:
    if label.replace(" ", "") == name.replace(" ", ""):
        return True
    shown = label.split()
    return all(any(same_word(w, s, min_similarity) for s in shown) for w in name.split())


class Uses:
    """How well sentences fit kinds of place: cosines with each kind's prototypes, the mean of the best few, and what their words speak for."""

    def __init__(self, concepts: tuple[Concept, ...], embedder: TextEmbedder, word_weight: float, best: int = 3) -> None:
        elsewhere = load_elsewhere()
        pairs = [(text, i) for i, concept in enumerate(concepts) for text in dict.fromkeys((*concept.names, *concept.uses, *concept.things))]
        self._owner: IntArray = np.array([i for _, i in pairs], dtype=np.int64)
        self._vectors: Float32Array = embedder.embed([text for text, _ in pairs])
        self._count, self._best = len(concepts), best
        self._elsewhere: Float32Array = embedder.embed(list(elsewhere))
        self._vocabulary, self._word_weight = Vocabulary([concept.name for concept in concepts]), word_weight

    def fit(self, text: str, sentence: Float32Array) -> FloatArray:
        """(C,) cosine of the embedding (D,) of a normalised text with each kind of place, raised by the text's words."""
        cosines = np.asarray(self._vectors @ sentence, dtype=np.float64)
        out = np.full(self._count, -1.0)
        for i in range(self._count):
            own = cosines[self._owner == i]
            out[i] = np.sort(own)[-self._best :].mean()
        return out + self._word_weight * np.sqrt(self._vocabulary.evidence(text))

    def elsewhere(self, sentence: Float32Array) -> float:
        """Cosine of a sentence's embedding (D,) with the places that buildings like these do not have: the mean of the best two."""
        return float(np.sort(self._elsewhere @ sentence)[-2:].mean())
