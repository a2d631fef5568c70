"""The backend that runs anywhere: text read by OCR; sentences understood by words, a small ontology of places, and embeddings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

import numpy as np
import yaml

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray, UInt8Array
from astra.geometry import Pose2, Pose3
from astra.global_model.backends.protocol import DetectedLandmark, Meaning, PosedImage, Sighting
from astra.global_model.coarse import match_landmarks
from astra.perception.embedding import TextEmbedder, TextEmbedderConfig
from astra.perception.text import TextReader, TextReaderConfig, normalise_text
from astra.topomap.types import Landmark


@dataclass(frozen=True, slots=True)
class EmbeddedConfig:
    """When a sentence means a landmark. Cosines are those of the embedding model."""

    min_text_similarity: float = 0.80  # of a text in an image and a landmark's, letters and digits
    min_word_similarity: float = 0.84  # of two words' letters, so that OCR's slips are forgiven
    min_cosine: float = 0.66  # less is no relation
    sure_cosine: float = 0.92  # as sure as the word itself
    rival_margin: float = 0.015  # a place that the map lacks must fit better by this to refuse the goal
    substitute_loss: float = 0.03  # of fit, where a place that will do stands in for one that the map lacks
    reader: TextReaderConfig = field(default_factory=TextReaderConfig)
    embedder: TextEmbedderConfig = field(default_factory=TextEmbedderConfig)

    def __post_init__(self) -> None:
        require(0 < self.min_text_similarity <= 1, "min_text_similarity", self.min_text_similarity, "in (0, 1]")
        require(self.substitute_loss >= 0, "substitute_loss", self.substitute_loss, "≥ 0")
        require(0 < self.min_word_similarity <= 1, "min_word_similarity", self.min_word_similarity, "in (0, 1]")
        require(0 < self.min_cosine < self.sure_cosine <= 1, "min_cosine", self.min_cosine, "in (0, sure_cosine)")
        require(self.rival_margin >= 0, "rival_margin", self.rival_margin, "≥ 0")


@dataclass(frozen=True, slots=True)
class Concept:
    """A kind of place: what signs call it and what sentences want there."""

    name: str
    names: tuple[str, ...]
    uses: tuple[str, ...]
    instead: tuple[str, ...] = ()  # kinds of place that will do where the map has none of this


_COMMAND = re.compile(
    r"^(?:(?:please|now|robot|hey|hi|ok|astra|can you|could you|would you|will you|i want to|i would like to|i d like to|i need to|i have to"
    r"|i am looking for|i m looking for|i need|i want|let us|lets|let s|we need to|we want to)\s+)*"
    r"(?:(?:go|drive|navigate|move|travel|head|proceed|come|walk|get|run)(?: over)?(?: to| into| towards)?|take me to|take me|bring me to|bring me"
    r"|guide me to|lead me to|show me|find me|find|search for|search|look for|locate|where is|where are|where s|where can i find|where can i|where do i"
    r"|deliver this to)?\s*(?:(?:the|a|an|some|any|my|our|nearest|next|closest|somewhere to|someplace to|somewhere|a place to|a place where i can"
    r"|the place where i can|a room to|a spot to)\s+)*"
)
_FILLER = {"room", "area", "zone", "the", "a", "an", "of", "and", "for", "to", "in", "at", "corner", "space", "sign", "door", "place"}


def goal_phrase(text: str) -> str:
    """What is wanted, without the words that command: "Please take me to the kitchen!" → "kitchen"."""
    whole = normalise_text(text)
    rest = _COMMAND.sub("", whole, count=1).removesuffix(" please").strip()
    return rest or whole


class EmbeddedBackend:
    """OCR landmarks and goals by words and meaning, on the CPU, without a language model."""

    def __init__(self, config: EmbeddedConfig | None = None) -> None:
        self.config = config or EmbeddedConfig()
        self._reader = TextReader(self.config.reader)
        self._embedder = TextEmbedder(self.config.embedder)
        self._concepts = load_concepts()
        self._phrases: tuple[str, ...] = ()
        self._phrase_owner = np.zeros(0, dtype=np.int64)
        self._phrase_vectors: Float32Array | None = None
        self._known: dict[str, Float32Array] = {}
        self._kinds: dict[str, tuple[int, ...]] = {}

    def prepare(self, landmarks: Sequence[Landmark]) -> None:
        """Embed the ontology and a map's landmarks ahead of the first goal, which then costs one sentence."""
        self._concept_vectors()
        labels = [normalise_text(landmark.label) for landmark in landmarks]
        for label in labels:
            self._concepts_of(label)
        if landmarks:
            self._embed([*labels, *(normalise_text(landmark.function) or "none" for landmark in landmarks)])

    def detect_landmarks(self, rgb: UInt8Array) -> tuple[DetectedLandmark, ...]:
        """Lines of text in the image."""
        return tuple(DetectedLandmark(d.text, True, d.score, d.polygon) for d in self._reader.read(rgb))

    def recognise(self, rgb: UInt8Array, landmarks: Sequence[Landmark], near: Pose2 | None = None) -> tuple[Sighting, ...]:
        """Landmarks whose text is read in the image."""
        del near  # comparing texts is quick: the whole map is compared
        matches = match_landmarks([self.detect_landmarks(rgb)], landmarks, self.config.min_text_similarity)
        return tuple(Sighting(m.landmark_id, m.detection, m.similarity) for m in matches)

    def consistency(self, rgb: UInt8Array, reference: UInt8Array) -> float | None:
        """Left to geometry."""
        return None

    def estimate_pose(self, rgb: UInt8Array, references: Sequence[PosedImage]) -> Pose3 | None:
        """Left to geometry."""
        return None

    def resolve_goal(self, text: str, landmarks: Sequence[Landmark], near: Pose2 | None = None) -> tuple[Meaning, ...]:
        """The landmarks named by the sentence; else those whose kind of place or function fits it best, unless a place the map lacks fits better."""
        del near  # the finder prefers the nearest of equal meanings
        phrase = goal_phrase(text)
        if not phrase or not landmarks:
            return ()
        named = self._by_words(phrase, landmarks)
        if named or _is_code(phrase):
            return named
        return self._by_meaning(phrase, landmarks)

    def _by_words(self, phrase: str, landmarks: Sequence[Landmark]) -> tuple[Meaning, ...]:
        found = []
        for landmark in landmarks:
            score = word_overlap(phrase, normalise_text(landmark.label), self.config.min_word_similarity)
            if score > 0.0:
                found.append(Meaning(landmark.id, score, f"the words name the {'sign' if landmark.is_text else 'landmark'} “{landmark.label}”"))
        return tuple(sorted(found, key=lambda m: (-m.score, m.landmark_id)))

    def _by_meaning(self, phrase: str, landmarks: Sequence[Landmark]) -> tuple[Meaning, ...]:
        vectors = self._concept_vectors()
        query = self._embed([phrase])[0]
        cosines = vectors @ query
        by_concept = np.full(len(self._concepts), -1.0)
        np.maximum.at(by_concept, self._phrase_owner, cosines)
        labels = [normalise_text(landmark.label) for landmark in landmarks]
        owners = [self._concepts_of(label) for label in labels]
        on_map = self._with_substitutes({concept for concepts in owners for concept in concepts}, by_concept)
        direct = self._embed(labels) @ query
        functions = [normalise_text(landmark.function) for landmark in landmarks]
        stated = np.where([bool(f) for f in functions], self._embed([f or "none" for f in functions]) @ query, -1.0)
        scores = np.array([max(direct[i], stated[i], *(by_concept[c] for c in owners[i]), -1.0) for i in range(len(landmarks))])
        rivals = [(float(by_concept[c]), self._concepts[c].name) for c in range(len(self._concepts)) if c not in on_map]
        rival_score, _ = max(rivals, default=(-1.0, ""))
        best = float(scores.max())
        if best < self.config.min_cosine or rival_score > best + self.config.rival_margin:
            return ()
        low, high = self.config.min_cosine, self.config.sure_cosine
        found = []
        for i in np.argsort(-scores, kind="stable"):
            if scores[i] >= low:
                score = 0.5 + 0.5 * min(1.0, (float(scores[i]) - low) / (high - low))
                why = f"“{landmarks[i].label}” fits “{phrase}” by meaning ({scores[i]:.2f})"
                found.append(Meaning(landmarks[i].id, score, why))
        return tuple(found)

    def _with_substitutes(self, on_map: set[int], by_concept: FloatArray) -> set[int]:
        """Lend the fit of kinds that the map lacks to those that will do instead; return the kinds that are thereby served."""
        rows = {concept.name: i for i, concept in enumerate(self._concepts)}
        served = set(on_map)
        for i, concept in enumerate(self._concepts):
            substitutes = on_map.intersection(rows[name] for name in concept.instead)
            if i in on_map or not substitutes:
                continue
            served.add(i)
            for row in substitutes:
                by_concept[row] = max(by_concept[row], by_concept[i] - self.config.substitute_loss)
        return served

    def _concepts_of(self, label: str) -> tuple[int, ...]:
        """The kinds of place that a sign's words name."""
        if label not in self._kinds:
            similarity = self.config.min_word_similarity
            self._kinds[label] = tuple(
                i for i, concept in enumerate(self._concepts) if any(_names(label, name, similarity) for name in concept.names)
            )
        return self._kinds[label]

    def _concept_vectors(self) -> Float32Array:
        if self._phrase_vectors is None:
            pairs = [(phrase, i) for i, concept in enumerate(self._concepts) for phrase in (*concept.names, *concept.uses)]
            self._phrase_owner = np.array([i for _, i in pairs], dtype=np.int64)
            self._phrase_vectors = self._embedder.embed([phrase for phrase, _ in pairs])
        return self._phrase_vectors

    def _embed(self, texts: Sequence[str]) -> Float32Array:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            if len(self._known) > 5000:
                self._known.clear()
                missing = list(dict.fromkeys(texts))
            self._known.update(zip(missing, self._embedder.embed(missing)))
        return np.stack([self._known[text] for text in texts])


def word_overlap(phrase: str, label: str, min_similarity: float) -> float:
    """How well a normalised label names what a normalised phrase asks for, 0..1: 1 if they are the same but for filler words.

    Words must agree letter by letter but for OCR's slips, numbers exactly; a phrase with a number never means a label without it.
    """
    phrase, label = spaced(phrase), spaced(label)
    if not phrase or not label:
        return 0.0
    if phrase.replace(" ", "") == label.replace(" ", ""):
        return 1.0
    asked, shown = _content(phrase), _content(label)
    numbers = [w for w in asked if _has_digit(w)]
    if numbers and numbers != [w for w in shown if _has_digit(w)]:
        return 0.0
    if not asked or not shown:
        return 0.0
    if "".join(asked) == "".join(shown):
        return 1.0
    hit = [w for w in shown if any(_same_word(w, a, min_similarity) for a in asked)]
    hit_asked = [a for a in asked if any(_same_word(w, a, min_similarity) for w in shown)]
    if len(hit) == len(shown):  # the label's words all occur: "the kitchen on the left" names KITCHEN
        return 0.8 + 0.2 * len(hit_asked) / len(asked)
    if len(hit_asked) == len(asked):  # all that is asked for occurs: "meeting" names MEETING ROOM BERLIN
        return 0.7 + 0.2 * len(hit) / len(shown)
    # A room's number says which room, whatever else the sign and the sentence call it.
    return 0.8 if any(sum(c.isdigit() for c in w) >= 2 for w in numbers) else 0.0


def spaced(text: str) -> str:
    """Letters and digits apart, as people write room names either way: "room201" → "room 201"."""
    return re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", text)


def load_concepts() -> tuple[Concept, ...]:
    """The ontology of places that ships with this package."""
    document = yaml.safe_load(resources.files(__package__).joinpath("concepts.yaml").read_text(encoding="utf-8"))
    return tuple(
        Concept(str(k), tuple(map(normalise_text, v["names"])), tuple(map(normalise_text, v["uses"])), tuple(v.get("instead", ())))
        for k, v in document.items()
    )


def _content(text: str) -> list[str]:
    words = text.split()
    return [w for w in words if w not in _FILLER] or words


def _has_digit(word: str) -> bool:
    return any(c.isdigit() for c in word)


def _is_code(phrase: str) -> bool:
    """Whether the phrase names one room by number: nothing but that room will do."""
    return any(_has_digit(word) for word in phrase.split())


def _same_word(a: str, b: str, min_similarity: float) -> bool:
    if a == b or a.rstrip("s") == b.rstrip("s"):
        return True
    if min(len(a), len(b)) < 4 or _has_digit(a) or _has_digit(b):
        return False
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio() >= min_similarity


def _names(label: str, name: str, min_similarity: float) -> bool:
    """Whether a sign's words contain a concept's name."""
    if label.replace(" ", "") == name.replace(" ", ""):
        return True
    wanted = name.split()
    shown = label.split()
    return all(any(_same_word(w, s, min_similarity) for s in shown) for w in wanted)
