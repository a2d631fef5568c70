"""The small map that comes with the code can be read, is what its recipe says, and knows where pictures of its office were taken."""

import json
from pathlib import Path

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.config import load_config
from astra.mapping.build import MappingConfig
from astra.topomap.audit import Verdict
from astra.topomap.io import load_features, load_map
from astra.topomap.validate import check_map, summarise

MAPS = Path(__file__).parents[3] / "maps"
MAP = MAPS / "demo_office"
FRESH = Path(__file__).parents[2] / "fixtures" / "demo_office"


def test_it_is_whole_small_and_trusted():
    assert check_map(MAP) == ()
    assert sum(file.stat().st_size for file in MAP.rglob("*") if file.is_file()) < 4_000_000
    topo = load_map(MAP)
    found = summarise(topo)
    assert found.fragments == (found.nodes,) and found.islands == 1
    assert found.scale_source == "odometry" and topo.info.audit is not None and topo.info.audit.verdict is Verdict.CONSISTENT
    assert {"KITCHEN", "LOUNGE", "MEETING 203"} <= {mark.label for mark in topo.landmarks.values() if mark.is_text}


def test_its_features_belong_to_its_views_and_have_points():
    topo, features = load_map(MAP), load_features(MAP)
    views = {view.id for node in topo.nodes.values() for view in node.views}
    assert set(features.view_ids.tolist()) == views and features.place.shape[1] > 0
    assert (features.point_ids >= 0).all() and np.isfinite(features.points_map).all()


def test_its_recipe_is_the_one_it_was_built_by():
    recipe, used = load_config(MappingConfig, MAPS / "recipe" / "map.yaml"), load_map(MAP).info.build["config"]
    assert used["store"]["most_features"] == recipe.store.most_features and used["local"]["max_features"] == recipe.local.max_features
    assert used["keyframes"]["distance_m"] == recipe.keyframes.distance_m
    for line in ("--robot maps/recipe/robot.yaml", "--config maps/recipe/map.yaml"):
        assert line in (MAPS / "README.md").read_text()


def test_it_is_shown_and_exported(tmp_path):
    assert main(["map", "view", str(MAP), "--out", str(tmp_path / "map.html")]) == 0
    assert main(["map", "export", str(MAP), "--out", str(tmp_path / "out")]) == 0
    assert "KITCHEN" in (tmp_path / "out" / "landmarks.csv").read_text()


@pytest.mark.slow
def test_fresh_pictures_of_the_office_are_localized(tmp_path):
    truth = json.loads((FRESH / "truth.json").read_text())
    assert main(["localize", str(MAP), *(str(FRESH / name) for name in truth), "--out", str(tmp_path / "poses.jsonl")]) == 0
    for line in (tmp_path / "poses.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert record["status"] == "localized", record["image"]
        at = np.array(record["map_from_cam"]["translation_m"])
        assert np.linalg.norm(at - truth[Path(record["image"]).name]) < 0.25
