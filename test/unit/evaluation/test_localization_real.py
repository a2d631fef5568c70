"""Real photos are judged in the truth's frame, scale and axes; the photos themselves only where they are at hand."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.evaluation.localization.real import Judge, RealConfig, RealQuery, figures, run
from astra.geometry import CameraModel, Pose3
from astra.topomap import MapInfo, Node, TopoMap, View


def test_frame_scale_and_axes_are_told_from_the_map_and_not_from_the_queries():
    rng = np.random.default_rng(1)
    true = [Pose3.from_rpy(*rng.normal(0, 0.5, 3), translation=rng.normal(0, 2.0, 3)) for _ in range(12)]
    offset, world = Pose3.from_rpy(0.08, 0.0, 0.03), Pose3.from_rpy(0.3, -1.0, 2.0, (3.0, 1.0, 0.0))
    found = [world @ Pose3(p.rotation @ offset.rotation, 0.4 * p.translation) for p in true]
    nodes = {k: Node(k, k, p, (View(k, "camera", f"images/{k}.jpg", p),), (), 0, 0.01) for k, p in enumerate(found[:10])}
    topo = TopoMap(MapInfo("m", "unknown"), {"camera": CameraModel.from_fov(64, 48, 1.0)}, nodes, (), {})
    judge, errors = Judge.of(topo, {f"{k}.jpg": p for k, p in enumerate(true)})
    assert errors.max() < 1e-4
    moved = found[11] @ Pose3.from_rpy(0.0, math.radians(3.0), 0.0, translation=(0.08, 0.0, 0.0))
    gap, turn = judge.errors(moved, true[11])
    assert gap == pytest.approx(0.2) and turn == pytest.approx(3.0)


def test_lost_images_are_misses_and_foreign_ones_must_be_lost():
    def query(image, status, error=math.nan, turn=math.nan):
        return RealQuery("a-given", image, status, 0.9, 50, error, turn, 0.5, 0.5)

    asked = [query("a/1", "localized", 0.05, 1.0), query("a/2", "localized", 0.2, 1.0), query("a/3", "localized", 0.01, 6.0), query("a/4", "lost")]
    asked += [query("b/1", "lost"), query("b/2", "coarse")]
    results = {r.name: r.value for r in figures("a-given", "a", asked, np.zeros((3, 2)))}
    assert results["a-given/within_0.1_5deg"] == 0.25 and results["a-given/within_0.25_5deg"] == 0.5
    assert results["a-given/within_0.1"] == 0.5
    assert results["a-given/b_images_lost"] == 1.0


def test_a_folder_without_photos_is_named(tmp_path):
    with pytest.raises(BadInputError, match="kitchen has no images"):
        run(RealConfig(tmp_path), tmp_path / "out")


@pytest.mark.skipif(not os.environ.get("ASTRA_REAL_DATA"), reason="ASTRA_REAL_DATA is not set: the real photos are not at hand")
@pytest.mark.slow
def test_every_second_photo_of_the_fox_places_the_others(tmp_path):
    config = RealConfig(Path(os.environ["ASTRA_REAL_DATA"]), sets=("fox",), cameras=("given",))
    results = {r.name: r.value for r in run(config, tmp_path)}
    assert results["fox-given/within_0.1_5deg"] >= 0.95
    assert results["fox-given/within_0.25_5deg"] >= 0.99
