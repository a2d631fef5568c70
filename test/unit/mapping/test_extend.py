"""A new tour into an old map: what is known stays, what is new is added where it is proven, and errors change nothing."""

import dataclasses
import hashlib

import numpy as np
import pytest
from toy_maps import Building, tour, write_map

from astra.core.errors import BadInputError, MapError, MappingError
from astra.mapping import extend
from astra.mapping.contents import load_contents
from astra.mapping.extend import extend_map
from astra.topomap.io import damaged_files, load_map

HOUSE = Building((1, 2, 3, 4))


def digest(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


class Named:
    name = "tuesday"


def pretend(monkeypatch, make):
    """Replace the build of the tour: it is tested elsewhere and costs seconds."""
    monkeypatch.setattr(extend, "build_map", lambda tours, out, *rest: make(out))


def test_the_old_map_keeps_its_frame_and_ids(tmp_path, monkeypatch):
    old = write_map(tmp_path / "office", HOUSE, tour(0, 1), seed=1)
    before = load_map(old)
    pretend(monkeypatch, lambda out: write_map(out, HOUSE, tour(1, 2, y=1.4), seed=2))
    merged = extend_map(old, [Named()])
    after = load_map(old)
    assert merged.is_joined and damaged_files(old) == []
    for k, node in before.nodes.items():
        np.testing.assert_allclose(after.nodes[k].map_from_base.matrix(), node.map_from_base.matrix(), atol=1e-6)
    assert len(after.nodes) > len(before.nodes)
    assert after.info.build["sessions"][0]["name"] == "tuesday"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_tour_of_another_place_becomes_a_fragment(tmp_path, monkeypatch):
    old = write_map(tmp_path / "office", HOUSE, tour(0, 1), seed=1)
    pretend(monkeypatch, lambda out: write_map(out, Building((8, 9)), tour(0, 1), seed=2))
    merged = extend_map(old, [Named()])
    assert not merged.is_joined and any("tuesday stays a fragment" in w for w in merged.info.warnings)
    assert {n.fragment for n in load_map(old).nodes.values()} == {0, 1}


def blind(contents):
    """The map as if it had been built without place descriptors."""
    return dataclasses.replace(contents, features=dataclasses.replace(contents.features, place=contents.features.place[:, :0]))


def test_errors_leave_the_old_map(tmp_path, monkeypatch):
    old = write_map(tmp_path / "office", HOUSE, tour(0, 0), seed=1)
    before = digest(old)

    def fail(out):
        raise MappingError("the images show next to nothing")

    pretend(monkeypatch, fail)
    with pytest.raises(MappingError, match="next to nothing"):
        extend_map(old, [Named()])
    with pytest.raises(BadInputError, match="at least one"):
        extend_map(old, [])
    with pytest.raises(MapError, match="not a map"):
        extend_map(tmp_path / "nowhere", [Named()])
    monkeypatch.setattr(extend, "load_contents", lambda path: blind(load_contents(path)))
    with pytest.raises(BadInputError, match="no place descriptors"):
        extend_map(old, [Named()])
    assert digest(old) == before
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["office", "office-nav2"]
