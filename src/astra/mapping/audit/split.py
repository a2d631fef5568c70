"""Cutting a fragment where it is broken: runs of the tour stay together, and runs are joined again only by what is above suspicion."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from astra.mapping.audit.findings import Break
from astra.mapping.keyframes import Keyframe
from astra.mapping.sfm import SfmFragment


def parts(
    ids: Collection[int], keyframes: Sequence[Keyframe], breaks: Iterable[Break], links: Mapping[tuple[int, int], float], min_link: float = 30.0
) -> list[frozenset[int]]:
    """Sets of keyframes that hang together without crossing a break, largest first.

    Args:
        ids: the fragment's keyframes.
        links: pairs of keyframes → how much evidence (matches) says that their places are as the map has them.
        min_link: evidence, summed over two runs, that joins them.
    """
    runs = _runs(ids, keyframes, breaks)
    run_of = {k: number for number, run in enumerate(runs) for k in run}
    apart = {frozenset((run_of[b.before], run_of[b.after])) for b in breaks if b.contradicted and b.before in run_of and b.after in run_of}
    evidence: dict[tuple[int, int], float] = {}
    for (a, b), weight in links.items():
        if a in run_of and b in run_of and run_of[a] != run_of[b]:
            key = (min(run_of[a], run_of[b]), max(run_of[a], run_of[b]))
            evidence[key] = evidence.get(key, 0.0) + weight
    groups = [{k} for k in range(len(runs))]
    group_of = {k: groups[k] for k in range(len(runs))}
    for (a, b), weight in sorted(evidence.items(), key=lambda entry: (-entry[1], entry[0])):
        left, right = group_of[a], group_of[b]
        if weight < min_link or left is right or any(frozenset(pair) in apart for pair in itertools.product(left, right)):
            continue
        left |= right
        for k in right:
            group_of[k] = left
    distinct = {id(group): group for group in group_of.values()}.values()
    return sorted((frozenset(k for run in group for k in runs[run]) for group in distinct), key=lambda part: (-len(part), min(part)))


def subset(fragment: SfmFragment, ids: Collection[int], keyframes: Sequence[Keyframe]) -> SfmFragment:
    """The fragment with only these keyframes, and the points that two of their views still see."""
    views = {view.id for keyframe in keyframes if keyframe.id in ids for view in keyframe.views}
    observations = {view: rows for view, rows in fragment.observations.items() if view in views}
    seen = np.zeros(len(fragment.points), dtype=np.int64)
    for rows in observations.values():
        seen[np.unique(rows[rows >= 0])] += 1
    kept = seen >= 2
    number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)  # the last for features without a point
    return replace(
        fragment,
        sfm_from_ref={k: pose for k, pose in fragment.sfm_from_ref.items() if k in ids},
        sfm_from_cam={v: pose for v, pose in fragment.sfm_from_cam.items() if v in views},
        points=fragment.points[kept],
        point_errors=fragment.point_errors[kept],
        observations={v: number[rows] for v, rows in observations.items()},
    )


def _runs(ids: Collection[int], keyframes: Sequence[Keyframe], breaks: Iterable[Break]) -> list[list[int]]:
    """Keyframes of one tour in order, cut at the breaks; a keyframe that is not in the fragment is passed over."""
    cuts = sorted((b.before, b.after) for b in breaks)
    ordered = sorted((k for k in keyframes if k.id in ids), key=lambda k: (k.tour, k.id))
    runs: list[list[int]] = []
    for previous, keyframe in zip([None, *ordered], ordered):
        cut = previous is None or previous.tour != keyframe.tour or any(previous.id <= before and after <= keyframe.id for before, after in cuts)
        if cut:
            runs.append([])
        runs[-1].append(keyframe.id)
    return runs
