"""From a sentence to landmarks (paper 3.1.2, language goals): by name if it names something, else by what people want at a kind of place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray, IntArray
from astra.global_model.backends.protocol import Meaning
from astra.global_model.language.concepts import Uses, concepts_named, load_concepts
from astra.global_model.language.mentions import Mention, Request, take_apart
from astra.global_model.language.places import Place, find_places
from astra.global_model.language.words import has_digit, same_word, word_overlap
from astra.perception.embedding import TextEmbedder
from astra.perception.text import normalise_text
from astra.topomap.types import Landmark

ROOM_WORDS = frozenset(("room", "area", "zone", "corner", "point"))  # of a sign that names one


@dataclass(frozen=True, slots=True)
class LanguageConfig:
    """When a sentence means a place. Cosines are those of the embedding model."""

    min_word_similarity: float = 0.84  # of two words' letters, so that slips are forgiven
    min_coverage: float = 0.34  # of a sentence by the name of a kind of place, for the sentence to name it rather than to say what is wanted
    min_kind: float = 0.5  # by which a place must show a kind to be one
    min_cosine: float = 0.65  # of a sentence and a kind of place; less is no relation
    word_weight: float = 0.05  # of a word that speaks for a kind of place, added to the cosine
    sure_cosine: float = 0.92  # as sure as the word itself
    rival_margin: float = 0.0  # a kind of place that the map lacks must fit better by this to refuse the goal
    elsewhere_loss: float = 0.0  # of fit, of places that are only named in the list of those that no such building has
    second_loss: float = 0.08  # of score, of what fits second best

    def __post_init__(self) -> None:
        require(0 < self.min_word_similarity <= 1, "min_word_similarity", self.min_word_similarity, "in (0, 1]")
        require(0 < self.min_coverage <= 1, "min_coverage", self.min_coverage, "in (0, 1]")
        require(0 < self.min_kind <= 1, "min_kind", self.min_kind, "in (0, 1]")
        require(0 < self.min_cosine < self.sure_cosine <= 1, "min_cosine", self.min_cosine, "in (0, sure_cosine)")
        require(self.rival_margin >= 0, "rival_margin", self.rival_margin, "≥ 0")
        require(0 <= self.word_weight < 1, "word_weight", self.word_weight, "in [0, 1)")
        require(self.second_loss >= 0, "second_loss", self.second_loss, "≥ 0")


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A place that may be meant: by the `name` of a label or a thing, or as a `kind` of place (−1: by neither)."""

    place: Place
    score: float
    why: str
    name: str = ""
    kind: int = -1


class GoalLanguage:
    """Understands sentences about one map at a time; what it has embedded of a map is kept."""

    def __init__(self, config: LanguageConfig | None = None, embedder: TextEmbedder | None = None) -> None:
        self.config = config or LanguageConfig()
        self._embedder = embedder or TextEmbedder()
        self._concepts = load_concepts()
        self._row = {concept.name: i for i, concept in enumerate(self._concepts)}
        self._names = {name: i for i, concept in enumerate(self._concepts) for name in (*concept.things, *concept.names)}
        self._uses: Uses | None = None
        self._map: tuple[Landmark, ...] = ()
        self._places: tuple[Place, ...] = ()
        self._functions: Float32Array = np.zeros((0, 0), np.float32)
        self._kinds_said: dict[str, frozenset[int]] = {}  # by what a sign says
        self._labels: dict[str, str] = {}  # normalised

    def prepare(self, landmarks: Sequence[Landmark]) -> None:
        """Do ahead what does not depend on the sentence."""
        if self._uses is None:
            self._uses = Uses(self._concepts, self._embedder, self.config.word_weight)
        marks = tuple(landmarks)
        if len(marks) == len(self._map) and all(a is b for a, b in zip(marks, self._map)):
            return
        self._places = find_places(marks, self._concepts, self.config.min_word_similarity)
        stated = [max((m.function for m in place.landmarks), key=len, default="") or _wording(place) for place in self._places]
        texts = [normalise_text(f) or "none" for f in stated]
        row = {text: k for k, text in enumerate(dict.fromkeys(texts))}  # many signs say the same
        self._functions = self._embedder.embed(list(row))[[row[text] for text in texts]] if self._places else np.zeros((0, 1), np.float32)
        self._functions[[not f for f in stated]] = 0.0
        self._places = tuple(self._by_function(place, own) if f else place for place, own, f in zip(self._places, self._functions, stated))
        self._map, self._kinds_said, self._labels = marks, {}, {}
        self._said([mark for mark in marks if mark.is_text])

    def resolve(self, text: str, landmarks: Sequence[Landmark]) -> tuple[Meaning, ...]:
        """The landmarks that the sentence may mean, best first; empty if none does. Their texts are data, never instructions."""
        self.prepare(landmarks)
        labels = [self._label(mark) for mark in self._map]
        request = take_apart(text, [label for label in labels if label], self._names, self.config.min_word_similarity)
        if request.number:
            return ()
        avoided = self._named(request.avoided) if request.avoided is not None else ()
        if request.wanted is None and request.avoided is not None:
            request = self._another(request, avoided)
        found = self._by_name(request) if self._is_named(request) else None
        if found is None or (not found and not self._is_about(request)):
            found = self._by_label(request) or self._by_use(text)
        found = [f for f in found if f.place not in avoided]
        if request.beside is not None and self._is_named(request):
            found = self._nearest(found, self._named(request.beside), request.beside)
        return tuple(Meaning(mark.id, f.score, f.why, f.place.number) for f in found for mark in self._shown(f))

    def _by_function(self, place: Place, function: Float32Array) -> Place:
        """A place that shows no kind, but whose function is stated, is of the kinds that this function (D,) fits best; single words prove nothing."""
        if place.kinds.any():
            return place
        assert self._uses is not None
        fits = self._uses.fit("", function)
        near = (fits >= fits.max() - self.config.rival_margin) & (fits >= self.config.min_cosine)
        return replace(place, kinds=np.where(near, 1.0, 0.0))

    # --- names ------------------------------------------------------------------------------------------------------------------------

    def _is_named(self, request: Request) -> bool:
        """Whether the sentence names what it wants, rather than only using a word that also names something."""
        wanted = request.wanted
        if wanted is None:
            return False
        several = wanted.end - wanted.start > 1 or request.beside is not None or request.avoided is not None
        if wanted.is_label or several or request.coverage >= self.config.min_coverage:
            return True
        is_place = wanted.name in self._concepts[self._names[wanted.name]].names  # rather than a thing
        return is_place and (request.is_destination or (request.is_pointed_at and bool(self._named(wanted))))

    def _is_about(self, request: Request) -> bool:
        """Whether the sentence is about what it names, rather than about what one does with it: "a table and a projector, we give a talk"."""
        wanted = request.wanted
        assert wanted is not None
        return wanted.is_label or request.is_destination or request.coverage >= self.config.min_coverage

    def _named(self, mention: Mention) -> tuple[Place, ...]:
        """The places that a mention names: of its label, or else of its kind; an object by its category where the map has it."""
        by_label = tuple(p for p in self._places if any(self._label(m) == mention.name for m in p.landmarks))
        if by_label:
            return by_label
        if mention.is_label:
            return ()
        kind = self._names[mention.name]
        return tuple(p for p in self._places if p.kinds[kind] >= self.config.min_kind)

    def _another(self, request: Request, avoided: Sequence[Place]) -> Request:
        """"Anything but room 203": another place of the same kind."""
        if not avoided:
            return request
        kind = self._concepts[int(np.argmax(avoided[0].kinds))].names[0]
        at = request.avoided
        assert at is not None
        return Request(request.words, Mention(at.start, at.end, kind, False), request.beside, at, request.number)

    def _by_name(self, request: Request) -> list[_Found]:
        """The places of the name; of a kind that the map lacks, those that will do."""
        wanted = request.wanted
        assert wanted is not None
        places = self._named(wanted)
        if places and wanted.is_label:
            return [_Found(p, 1.0, f"“{wanted.name}” names it", wanted.name) for p in places]
        kind = self._names[wanted.name]
        if places:
            best = max(float(p.kinds[kind]) for p in places)
            return [_Found(p, self._strength(p, wanted, best), f"“{wanted.name}” names it", wanted.name, kind) for p in places]
        if wanted.is_label or wanted.name not in self._concepts[kind].names:
            return []  # a thing that the map does not show
        for name in self._concepts[kind].instead:
            other = self._row[name]
            will_do = [p for p in self._places if p.kinds[other] >= 1.0]
            if will_do:
                return [_Found(p, 0.8, f"there is no {wanted.name}; a {name} may do", "", other) for p in will_do]
        return []

    def _strength(self, place: Place, wanted: Mention, best: float) -> float:
        """1 for the places that show the kind as well as any, or show more of it than of all else; those that only hint at it fall behind."""
        kind = self._names[wanted.name]
        if any(self._label(m) == wanted.name for m in place.landmarks):
            return 1.0
        mainly = place.kinds[kind] >= 0.7 * place.kinds.max()
        return 1.0 if mainly and place.kinds[kind] >= 0.5 * best else 0.8

    def _by_label(self, request: Request) -> list[_Found]:
        """Labels that share words with the sentence, where none is named in full."""
        phrase = " ".join(request.words)
        found = []
        for place in self._places:
            score = max((word_overlap(phrase, self._label(m), self.config.min_word_similarity) for m in place.landmarks if m.is_text), default=0.0)
            if score >= 0.75:
                found.append(_Found(place, score, f"the words name the sign “{place.landmarks[0].label}”"))
        return sorted(found, key=lambda f: -f.score)

    def _nearest(
        self, found: Sequence[_Found], anchors: Sequence[Place], beside: Mention
    ) -> list[_Found]:
        """Of the places found those nearest to the anchor; what is named but not on the map changes nothing."""
        anchors = [a for a in anchors if all(a is not f.place for f in found)] or list(anchors)
        if not anchors or len(found) < 2:
            return list(found)
        distance = [min(float(np.linalg.norm(self._spot(f) - a.centre)) for a in anchors) for f in found]
        out = []
        for rank, k in enumerate(np.argsort(distance, kind="stable")):
            loss = 0.0 if rank == 0 else 0.2 + 0.01 * rank
            why = f"{found[int(k)].why}, {distance[int(k)]:.1f} m from “{beside.name}”"
            out.append(replace(found[int(k)], score=max(found[int(k)].score - loss, 0.0), why=why))
        return out

    def _spot(self, found: _Found) -> FloatArray:
        spot: FloatArray = np.mean([mark.position_map[:2] for mark in self._shown(found)], axis=0)
        return spot

    # --- uses -------------------------------------------------------------------------------------------------------------------------

    def _by_use(self, text: str) -> list[_Found]:
        """What is wanted there: the kinds of place, and the stated functions, that the sentence fits; none if a kind that the map lacks fits better."""
        if not self._places:
            return []
        assert self._uses is not None
        phrase = normalise_text(text)
        query = self._embedder.embed([phrase])[0]
        fits = self._uses.fit(phrase, query)
        shown = np.array([place.kinds for place in self._places])  # (P, C)
        served = self._served(shown.max(axis=0) >= self.config.min_kind, fits)
        rival = max(float(np.max(np.where(served < 0, fits, -1.0))), self._uses.elsewhere(query) - self.config.elsewhere_loss)
        scores, kinds = self._place_scores(shown, served, fits, self._functions @ query)
        best = float(scores.max())
        if best < self.config.min_cosine or rival > best + self.config.rival_margin:
            return []
        low, high = self.config.min_cosine, self.config.sure_cosine
        found = []
        for k in np.argsort(-scores, kind="stable"):
            if scores[k] >= low:
                loss = 0.0 if scores[k] >= best - 1e-6 else self.config.second_loss
                score = 0.55 + 0.45 * min(1.0, (float(scores[k]) - low) / (high - low)) - loss
                place = self._places[int(k)]
                fit = _Found(place, score, "", "", int(kinds[k]))
                found.append(replace(fit, why=f"“{self._shown(fit)[0].label}” fits “{phrase}” by meaning ({scores[k]:.2f})"))
        return found

    def _served(self, on_map: FloatArray, fits: FloatArray) -> FloatArray:
        """(C,) the kind of place that serves each kind: itself where the map has it, else the first of those that will do; −1: none."""
        out = np.full(len(fits), -1.0)
        for i, concept in enumerate(self._concepts):
            if on_map[i]:
                out[i] = i
                continue
            out[i] = next((self._row[name] for name in concept.instead if on_map[self._row[name]]), -1)
        return out

    def _place_scores(self, shown: FloatArray, served: FloatArray, fits: FloatArray, stated: FloatArray) -> tuple[FloatArray, IntArray]:
        """(P,) the fit of each place, of the kinds that it shows clearly and those that it serves or of its stated function; and by which kind (−1)."""
        scores = np.asarray(stated, dtype=np.float64).copy()
        kinds: IntArray = np.full(len(scores), -1, dtype=np.int64)
        mainly = shown >= 0.5 * shown.max(axis=1, keepdims=True)
        clear = mainly & (shown >= np.maximum(0.5 * shown.max(axis=0, keepdims=True), self.config.min_kind))
        hidden = ~clear.any(axis=0)  # kinds that no place mainly is: what shows most of it, among other things, will do
        clear[:, hidden] = (shown >= np.maximum(shown.max(axis=0, keepdims=True), self.config.min_kind))[:, hidden]
        for i, by in enumerate(served):
            if by >= 0:
                better = clear[:, int(by)] & (fits[i] - 0.005 * (int(by) != i) > scores)
                scores[better], kinds[better] = fits[i] - 0.005 * (int(by) != i), int(by)
        return scores, kinds

    def _shown(self, found: _Found) -> list[Landmark]:
        """The landmarks that stand for a place: those named, else its signs, else what shows the kind of place that is meant."""
        marks = found.place.landmarks
        named = [m for m in marks if found.name and same_word(self._label(m), found.name, 1.0)]
        signs = [m for m in marks if m.is_text]
        if named or found.kind < 0:
            return named or signs or list(marks)
        concept = self._concepts[found.kind]
        things, hints = (
            [m for m in marks if not m.is_text and any(same_word(self._label(m), thing, 1.0) for thing in tells)]
            for tells in (concept.things, concept.hints)
        )
        # Where a number's room shows more of other things, what stands there is surer than the number.
        if signs and (found.kind in self._said(signs) or 2 * (len(things) + len(hints)) > len(marks) - len(signs)):
            return signs
        return things or hints or signs or list(marks)

    def _label(self, mark: Landmark) -> str:
        """The normalised label; large maps are asked for it thousands of times a sentence."""
        if mark.label not in self._labels:
            self._labels[mark.label] = normalise_text(mark.label)
        return self._labels[mark.label]

    def _said(self, signs: Sequence[Landmark]) -> set[int]:
        """The kinds of place that signs name."""
        for mark in signs:
            if mark.label not in self._kinds_said:
                named = concepts_named(self._label(mark), self._concepts, self.config.min_word_similarity)
                self._kinds_said[mark.label] = frozenset(named)
        return {kind for mark in signs for kind in self._kinds_said[mark.label]}


def _wording(place: Place) -> str:
    """What the sign of a place says, if it names a room ("TEA AREA"): a name that no kind of place bears still tells what the place is for."""
    texts = [normalise_text(m.label).split() for m in place.landmarks if m.is_text and not has_digit(m.label)]
    return max((" ".join(words) for words in texts if len(words) <= 3 and ROOM_WORDS.intersection(words)), key=len, default="")
