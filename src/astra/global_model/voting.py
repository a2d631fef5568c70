"""Votes of local features for map views: of those that look alike at a glance, which show the same things?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astra.core.types import Float32Array, FloatArray, IntArray
from astra.global_model.coarse import PlaceVotes
from astra.global_model.loaded import LoadedMap

BLOCK_ROWS = 64  # of the matrix of similarities that is made at once: it stays in the processor's cache
LEAST_COSINE = 0.8  # of two descriptors that may show one thing


def local_votes(loaded: LoadedMap, units: Float32Array, rows: IntArray, common: int = 20) -> FloatArray:
    """How many things each of the map's views in `rows` (R,) shares with an image of unit descriptors (N, 128): (R,), softly counted.

    A feature speaks for a view by how much nearer its nearest there is than that of the `common`-th best view: what many views show says nothing.
    """
    counts = np.array([len(loaded.view_points(int(row)).units) for row in rows], dtype=np.int64)
    votes = np.zeros(len(rows))
    filled = np.flatnonzero(counts)
    if len(filled) < 2 or len(units) == 0:
        return votes
    descriptors = np.concatenate([loaded.view_points(int(rows[k])).units for k in filled])
    starts = np.cumsum(counts[filled]) - counts[filled]
    rank = len(filled) - 1 - min(common, len(filled) - 1)
    for lo in range(0, len(units), BLOCK_ROWS):
        best = np.maximum.reduceat(units[lo : lo + BLOCK_ROWS] @ descriptors.T, starts, axis=1)
        usual = np.partition(best, rank, axis=1)[:, rank : rank + 1]
        votes[filled] += np.maximum(best - np.maximum(usual, LEAST_COSINE), 0.0).sum(axis=0)
    return votes


def with_local_votes(loaded: LoadedMap, votes: PlaceVotes, units: Sequence[Float32Array], row_of_view: IntArray, views: int) -> PlaceVotes:
    """Votes of place descriptors, joined by those of local features with the `views` likest of the map.

    Args:
        units: unit descriptors (N, 128) of each image.
        row_of_view: (V,) row of each view's node.
    """
    scores, likeness = votes.node_scores.copy(), votes.similarity.astype(np.float32, copy=True)
    for k, own in enumerate(units):
        rows = np.argpartition(-votes.similarity[k], views)[:views] if views < votes.similarity.shape[1] else np.arange(votes.similarity.shape[1])
        local = local_votes(loaded, own, rows)
        most = float(local.max(initial=0.0))
        if most > 0.0:
            share = local / most
            likeness[k, rows] += share.astype(np.float32)
            node_votes = np.zeros(len(scores))
            np.maximum.at(node_votes, row_of_view[rows], share)
            scores += node_votes
    return PlaceVotes(votes.similarity, scores, likeness)
