"""The images that look most alike, without a table of all against all.

Up to a few thousand images an exact search in blocks is quickest; beyond, a graph index (HNSW) finds the nearest in logarithmic time.
"""

from __future__ import annotations

import numpy as np

from astra.core.types import Float32Array, FloatArray, IntArray

EXACT_BELOW = 6000
BLOCK = 512


def most_alike(queries: Float32Array, places: Float32Array, count: int) -> tuple[IntArray, FloatArray]:
    """The `count` nearest of places (N, D) to each of queries (Q, D), all L2-normalised.

    Returns:
        rows (Q, C) int64 and cosines (Q, C), nearest first, ties in order of row; C = min(count, N).
    """
    count = min(count, len(places))
    if count == 0 or places.shape[1] == 0:
        return np.zeros((len(queries), 0), dtype=np.int64), np.zeros((len(queries), 0))
    if len(places) > EXACT_BELOW:
        return _by_graph(queries, places, count)
    rows = np.empty((len(queries), count), dtype=np.int64)
    cosines = np.empty((len(queries), count))
    for lo in range(0, len(queries), BLOCK):
        similarity = queries[lo : lo + BLOCK] @ places.T
        near = np.sort(np.argpartition(-similarity, count - 1, axis=1)[:, :count], axis=1)
        values = np.take_along_axis(similarity, near, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[lo : lo + BLOCK] = np.take_along_axis(near, order, axis=1)
        cosines[lo : lo + BLOCK] = np.take_along_axis(values, order, axis=1)
    return rows, cosines


def _by_graph(queries: Float32Array, places: Float32Array, count: int) -> tuple[IntArray, FloatArray]:
    """One thread, so that the same images give the same index."""
    from usearch.index import Index

    index = Index(ndim=places.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=96, expansion_search=max(96, 2 * count))
    index.add(np.arange(len(places)), np.ascontiguousarray(places), threads=1)
    found = index.search(np.ascontiguousarray(queries), count, threads=1)
    return np.asarray(found.keys, dtype=np.int64).reshape(len(queries), -1), 1.0 - np.asarray(found.distances, dtype=np.float64).reshape(len(queries), -1)
