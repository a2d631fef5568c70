"""Maps as large as wanted, made of one that was built: copies of its ground, side by side, each a little different in all that is seen there.

The first copy is the map itself, so that its own pictures are answered there; the others are look-alikes that a search must tell from it.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from astra.core.types import Float32Array, FloatArray, UInt8Array
from astra.geometry import Pose3
from astra.topomap.features import MapFeatures
from astra.topomap.types import Edge, Landmark, Node, TopoMap

GAP_M = 3.0  # between copies
PLACE_COSINE = 0.9  # of a copy's place descriptor and the original's
LOCAL_COSINE = 0.85  # of a copy's local descriptor and the original's
ARRAYS = ("view_ids", "offsets", "keypoints", "descriptors", "points_map", "point_ids", "place")


def tiled_graph(base: TopoMap, nodes: int) -> TopoMap:
    """The first `nodes` nodes of as many copies as that takes; numbers on signs go on counting from copy to copy."""
    shifts = _shifts(base, math.ceil(nodes / len(base.nodes)))
    node_step, view_step, mark_step = _steps(base)
    out_nodes: dict[int, Node] = {}
    edges: list[Edge] = []
    marks: dict[int, Landmark] = {}
    for copy, shift in enumerate(shifts):
        kept = [base.nodes[i] for i in sorted(base.nodes)][: nodes - len(out_nodes)]
        ids = {node.id for node in kept}
        view_ids = {view.id for node in kept for view in node.views}
        seen = {k: mark for k, mark in base.landmarks.items() if ids.intersection(mark.node_ids)}
        for node in kept:
            views = tuple(replace(v, id=v.id + copy * view_step, map_from_cam=_moved(v.map_from_cam, shift)) for v in node.views)
            landmark_ids = tuple(k + copy * mark_step for k in node.landmark_ids if k in seen)
            new = replace(node, id=node.id + copy * node_step, map_from_base=_moved(node.map_from_base, shift), views=views, landmark_ids=landmark_ids)
            out_nodes[new.id] = new
        edges += [replace(e, a=e.a + copy * node_step, b=e.b + copy * node_step) for e in base.edges if e.a in ids and e.b in ids]
        for k, mark in seen.items():
            marks[k + copy * mark_step] = replace(
                mark, id=k + copy * mark_step, label=_renumbered(mark.label, copy), position_map=mark.position_map + shift,
                node_ids=tuple(i + copy * node_step for i in mark.node_ids if i in ids),
                view_ids=tuple(i + copy * view_step for i in mark.view_ids if i in view_ids),
            )  # fmt: skip
    return TopoMap(base.info, base.cameras, out_nodes, tuple(edges), marks)


def write_tiled_features(base: TopoMap, features: MapFeatures, nodes: int, folder: Path, seed: int = 0) -> None:
    """The features of `tiled_graph`, those with a point alone, as .npy files that are written copy by copy."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    shifts = _shifts(base, math.ceil(nodes / len(base.nodes)))
    _, view_step, _ = _steps(base)
    placed = np.flatnonzero(np.asarray(features.point_ids) >= 0)
    offsets = np.searchsorted(placed, features.offsets)
    rows_of = {int(v): k for k, v in enumerate(features.view_ids)}
    order = [[rows_of[view.id] for view in base.nodes[i].views if view.id in rows_of] for i in sorted(base.nodes)]
    whole, rest = divmod(nodes, len(base.nodes))
    chosen = [np.array([r for rows in order[:count] for r in rows], dtype=np.int64) for count in (len(order), rest)]
    rows = [np.concatenate([np.arange(offsets[r], offsets[r + 1]) for r in views]) if len(views) else np.zeros(0, np.int64) for views in chosen]
    sizes = [whole * len(chosen[0]) + len(chosen[1]), whole * len(rows[0]) + len(rows[1])]
    shapes = {"view_ids": (sizes[0],), "offsets": (sizes[0] + 1,), "keypoints": (sizes[1], 2), "descriptors": (sizes[1], 128),
              "points_map": (sizes[1], 3), "point_ids": (sizes[1],), "place": (sizes[0], features.place.shape[1])}  # fmt: skip
    out = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=getattr(features, name).dtype, shape=shapes[name]) for name in ARRAYS
    }
    source = {name: np.asarray(getattr(features, name))[placed] for name in ("keypoints", "descriptors", "points_map", "point_ids")}
    point_step, view, row = int(source["point_ids"].max(initial=0)) + 1, 0, 0
    out["offsets"][0] = 0
    for copy, shift in enumerate(shifts):
        views, here = (chosen[0], rows[0]) if copy < whole else (chosen[1], rows[1])
        v, r = slice(view, view + len(views)), slice(row, row + len(here))
        out["view_ids"][v] = features.view_ids[views] + copy * view_step
        out["offsets"][view + 1 : view + len(views) + 1] = row + np.cumsum(offsets[views + 1] - offsets[views])
        out["keypoints"][r], out["points_map"][r] = source["keypoints"][here], source["points_map"][here] + shift.astype(np.float32)
        out["point_ids"][r] = source["point_ids"][here] + copy * point_step
        out["descriptors"][r] = source["descriptors"][here] if copy == 0 else _noisy_bytes(source["descriptors"][here], rng)
        out["place"][v] = features.place[views] if copy == 0 else _noisy_units(np.asarray(features.place)[views], rng)
        view, row = v.stop, r.stop
    for array in out.values():
        array.flush()


def read_tiled_features(folder: Path) -> MapFeatures:
    """What was written, memory-mapped."""
    return MapFeatures(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS})


def _noisy_bytes(descriptors: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Descriptors (N, 128) uint8 with noise; a table of it is rolled, for drawing it all would take longer than writing."""
    norm = float(np.linalg.norm(descriptors[:1000].astype(np.float32), axis=1).mean()) if len(descriptors) else 0.0
    sigma = norm * math.tan(math.acos(LOCAL_COSINE)) / math.sqrt(descriptors.shape[1])
    table = rng.normal(0.0, sigma, (1009, descriptors.shape[1])).astype(np.int16)
    noise = np.resize(table, descriptors.shape)
    noisy: UInt8Array = np.clip(descriptors + noise, 0, 255).astype(np.uint8)
    return noisy


def _noisy_units(place: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Unit descriptors (V, D) with noise, half of it common to the copy."""
    sigma = math.tan(math.acos(PLACE_COSINE)) / math.sqrt(max(place.shape[1], 1))
    noise = (rng.normal(size=(1, place.shape[1])) + rng.normal(size=place.shape)) * sigma / math.sqrt(2.0)
    noisy = place + noise.astype(np.float32)
    units: Float32Array = noisy / np.maximum(np.linalg.norm(noisy, axis=1, keepdims=True), 1e-9)
    return units


def _shifts(base: TopoMap, copies: int) -> FloatArray:
    """Where the copies lie (C, 3) [m]: on a square grid."""
    places = np.array([node.map_from_base.translation for node in base.nodes.values()])
    step, side = np.ptp(places[:, :2], axis=0) + GAP_M, math.ceil(math.sqrt(copies))
    grid = np.array([(k % side, k // side) for k in range(copies)], dtype=np.float64)
    return np.column_stack([grid * step, np.zeros(copies)])


def _steps(base: TopoMap) -> tuple[int, int, int]:
    """From copy to copy, the ids of nodes, views and landmarks rise by these."""
    return max(base.nodes) + 1, max(v.id for n in base.nodes.values() for v in n.views) + 1, max(base.landmarks, default=-1) + 1


def _moved(pose: Pose3, shift: FloatArray) -> Pose3:
    return Pose3(pose.rotation, pose.translation + shift)


def _renumbered(label: str, copy: int) -> str:
    return re.sub(r"\d+", lambda found: str(int(found.group()) + 1000 * copy), label) if copy else label
