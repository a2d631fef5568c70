"""Is the place known where no pose could be verified? P(the likest view of the map is within ten metres), from looks alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from astra.core.config import require
from astra.global_model.coarse import PlaceVotes


@dataclass(frozen=True, slots=True)
class KnownPlaceConfig:
    """The logistic, and from where on a place is called known."""

    min_probability: float = 0.95
    bias: float = 6.8
    per_log_shared: float = 2.2
    per_similarity: float = 5.5

    def __post_init__(self) -> None:
        require(0 < self.min_probability < 1, "min_probability", self.min_probability, "in (0, 1)")


def place_probability(votes: PlaceVotes, config: KnownPlaceConfig) -> float:
    """P(the best place is right within 10 m), by the image that says most.

    Fitted to 238 single images in validation worlds (one home, one office, one warehouse) and 135 of other worlds of these kinds.
    """
    best = 0.0
    for shared, similarity in zip(votes.shared.tolist(), votes.similarity):
        z = config.bias + config.per_log_shared * math.log(max(shared, 1e-4)) + config.per_similarity * float(similarity.max(initial=0.0))
        best = max(best, 1.0 / (1.0 + math.exp(-max(min(z, 40.0), -40.0))))
    return best
