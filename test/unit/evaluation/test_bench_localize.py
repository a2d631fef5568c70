"""Large maps are made of copies of a small one, and what asking them costs is measured and reported."""

import math
from pathlib import Path

import numpy as np
import pytest

from astra.evaluation.bench_localize import KINDS, Asked, BenchLocalizeConfig, LocalizeCost, figures, growth, make_material
from astra.evaluation.tiled_map import read_tiled_features, tiled_graph, write_tiled_features
from astra.topomap.io import load_features, load_map

SHIPPED = Path("maps/demo_office")


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    base, features = load_map(SHIPPED), load_features(SHIPPED)
    folder = tmp_path_factory.mktemp("tiled")
    write_tiled_features(base, features, 240, folder)
    return base, features, tiled_graph(base, 240), read_tiled_features(folder)


def test_copies_have_ids_places_and_signs_of_their_own(tiled):
    base, _, graph, _ = tiled
    assert len(graph.nodes) == 240
    views = [view.id for node in graph.nodes.values() for view in node.views]
    assert len(set(views)) == len(views)
    step = max(base.nodes) + 1
    first = min(base.nodes)
    shift = graph.nodes[first + step].map_from_base.translation - graph.nodes[first].map_from_base.translation
    assert np.hypot(*shift[:2]) > 3.0 and shift[2] == 0.0
    labels = {mark.label for mark in graph.landmarks.values()}
    assert {"ROOM 202", "ROOM 1202"} <= labels
    for mark in graph.landmarks.values():
        assert set(mark.node_ids) <= set(graph.nodes) and set(mark.view_ids) <= set(views)
        assert all(mark.id in graph.nodes[i].landmark_ids for i in mark.node_ids)
    assert all(edge.a in graph.nodes and edge.b in graph.nodes for edge in graph.edges)


def test_the_first_copy_is_the_map_and_others_are_like_it(tiled):
    base, features, graph, tiles = tiled
    count = len(features.view_ids)
    assert set(tiles.view_ids) == {view.id for node in graph.nodes.values() for view in node.views}
    view = base.nodes[max(base.nodes)].views[0]
    known = features.view(view.id)
    kept = known.point_ids >= 0
    assert np.array_equal(tiles.view(view.id).descriptors, known.descriptors[kept])
    assert np.allclose(tiles.view(view.id).points_map, known.points_map[kept])
    step = max(v.id for n in base.nodes.values() for v in n.views) + 1
    copy = tiles.view(view.id + step)
    a, b = copy.descriptors.astype(float), known.descriptors[kept].astype(float)
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert 0.75 < cosine.mean() < 0.97
    assert not set(copy.point_ids) & set(known.point_ids)
    likeness = (tiles.place[:count] * tiles.place[count : 2 * count]).sum(axis=1)
    assert 0.85 < likeness.mean() < 0.95
    moved = graph.nodes[max(base.nodes) + max(base.nodes) + 1].map_from_base.translation - base.nodes[max(base.nodes)].map_from_base.translation
    assert np.allclose(copy.points_map - known.points_map[kept], moved, atol=1e-3)


def test_a_tiled_map_is_a_map(tmp_path):
    make_material(BenchLocalizeConfig(SHIPPED, nodes=(12,)), 12, tmp_path / "12")
    assert len(load_map(tmp_path / "12").nodes) == 12
    assert len(load_features(tmp_path / "12").view_ids) == sum(len(node.views) for node in load_map(tmp_path / "12").nodes.values())
    assert [p.name for p in tmp_path.iterdir()] == ["12"]


def test_figures_carry_their_targets():
    def cost(nodes, seconds):
        asked = tuple(Asked(kind, "localized", True, seconds, seconds / 2, 0.1, 0.2) for kind in KINDS for _ in range(10))
        return LocalizeCost(nodes, 4 * nodes, 3, 1.0, asked, (0.05,) * 4, (0.04,) * 4, 800.0, 700.0, 500.0)

    small = {r.name: r for r in figures(cost(1000, 0.6))}
    assert small["1000_nodes/one_image/wall_p95"].value == pytest.approx(0.6) and small["1000_nodes/one_image/wall_p95"].target == "≤ 1"
    assert {r.name: r for r in figures(cost(10_000, 0.6))}["10000_nodes/memory_peak"].target == "≤ 1200"
    ratio = {r.name: r.value for r in growth([cost(1000, 0.6), cost(100_000, 0.9)])}
    assert ratio["query_growth_wall"] == pytest.approx(1.5)
    assert growth([cost(1000, 0.6)]) == [] and math.isfinite(ratio["query_growth_cpu"])
