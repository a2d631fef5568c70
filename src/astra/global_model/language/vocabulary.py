"""Words that make one think of a kind of place: evidence where no prototype sentence is near. The lists ship as `vocabulary.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import resources

import numpy as np
import snowballstemmer
import yaml

from astra.core.types import FloatArray
from astra.perception.text import normalise_text

_LONGEST = 4  # words of a phrase
_STEMMER = snowballstemmer.stemmer("english")


class Vocabulary:
    """Which kinds of place the words of a sentence speak for."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._count = len(kinds)
        self._kinds: dict[tuple[str, ...], list[int]] = {}
        lists = load_vocabulary()
        for i, kind in enumerate(kinds):
            for phrase in dict.fromkeys(_stems(text) for text in lists.get(kind, ())):
                self._kinds.setdefault(phrase, []).append(i)

    def evidence(self, text: str) -> FloatArray:
        """(C,) how much a normalised text speaks for each kind: 1 for each phrase of that kind alone, less where several kinds know it. Of two
        phrases that share words the longer counts."""
        out, stems, k = np.zeros(self._count), _stems(text), 0
        while k < len(stems):
            length = next((n for n in range(min(_LONGEST, len(stems) - k), 0, -1) if stems[k : k + n] in self._kinds), 0)
            if length:
                kinds = self._kinds[stems[k : k + length]]
                out[kinds] += 1.0 / np.sqrt(len(kinds))
            k += max(length, 1)
        return out


@cache
def load_vocabulary() -> dict[str, tuple[str, ...]]:
    """Kind of place → words and phrases, normalised."""
    document = yaml.safe_load(resources.files(__package__).joinpath("vocabulary.yaml").read_text(encoding="utf-8"))
    return {str(kind): tuple(normalise_text(text) for text in str(line).split(",")) for kind, line in document.items()}


@lru_cache(maxsize=4096)
def _stems(text: str) -> tuple[str, ...]:
    words = text.split()
    return tuple(stem if len(stem) > 2 else word for word, stem in zip(words, _STEMMER.stemWords(words)))  # "aed" is no "a"
