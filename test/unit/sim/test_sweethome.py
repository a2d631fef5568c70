"""Real furniture: what the package says is read right, and a simplified model looks like the one that it was made from."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.sim.furniture import open_catalogue, sweethome
from astra.sim.furniture.bake import bake
from astra.sim.furniture.rays import normals_of
from astra.sim.furniture.simplify import simplified, unlike
from astra.sim.furniture.store import stored
from astra.sim.furniture.sweethome import Entry, Source
from astra.sim.furniture.wavefront import Material, read_mtl, read_obj

needs_package = pytest.mark.skipif(not sweethome.installed(), reason="sweethome3d-furniture is not installed")
CUBE = np.array([(x, y, z) for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
SIDES = np.array([(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1), (2, 3, 7), (2, 7, 6), (1, 5, 7), (1, 7, 3), (0, 2, 6), (0, 6, 4)])
# A wedge in the package's axes: 1 wide (x), 2 high (y), 4 deep (z); its front (+z) is low and red, its back high and green.
WEDGE = """mtllib wedge.mtl
v 0 0 0\nv 10 0 0\nv 10 20 0\nv 0 20 0\nv 0 0 40\nv 10 0 40\nv 10 4 40\nv 0 4 40
usemtl the back\nf 2 1 4 3
usemtl front\nf 5 6 7 8\nf -8//1 -4//1 -3//1 -7//1
f 3 4 8 7\nf 1 2 6 5\nf 1 5 8 4\nf 2 3 7 6
"""
MATERIALS = "newmtl the back\nKd 0 1 0\nnewmtl front\nKd 1 0 0\nd 1\n"


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """A package of one model, and a choice of it."""
    properties = (
        "# a comment\nid#3=Scopia#bed1\nname#3=Lit d\\u00e9fait\nmodel#3=/wedge/wedge.obj\nwidth#3=50\ndepth#3=100\nheight#3=40\ncreator#3=Nobody\n"
        "id#4=Scopia#door\nmodel#4=/wedge/door.obj\nwidth#4=1\ndepth#4=1\nheight#4=1\n"
    )
    with zipfile.ZipFile(tmp_path / "Scopia.sh3f", "w") as file:
        file.writestr(sweethome.PROPERTIES, properties)
        file.writestr("wedge/wedge.obj", WEDGE)
        file.writestr("wedge/wedge.mtl", MATERIALS)
    yield tmp_path
    sweethome.entries.cache_clear()


def test_the_catalogue_gives_size_author_and_licence(package: Path) -> None:
    (entry,) = sweethome.entries(package)
    assert (entry.id, entry.category, entry.title, entry.licence) == ("Scopia#bed1", "bed", "Lit défait", "CC BY 3.0")
    assert entry.size_m == pytest.approx((1.0, 0.5, 0.4))
    assert sweethome.installed(package) and not sweethome.installed(package / "elsewhere")


def test_a_model_is_scaled_and_its_front_faces_forward(package: Path) -> None:
    (entry,) = sweethome.entries(package)
    source = sweethome.load(entry)
    np.testing.assert_allclose(source.vertices.min(axis=0), (-0.5, -0.25, 0.0), atol=1e-9)
    np.testing.assert_allclose(source.vertices.max(axis=0), (0.5, 0.25, 0.4), atol=1e-9)
    assert source.vertices[source.vertices[:, 0] > 0, 2].max() == pytest.approx(0.08)  # the low side
    colours = np.array([m.colour for m in source.materials])[source.material]
    backs = (source.vertices[source.faces][..., 0] < 0).all(axis=1)
    np.testing.assert_array_equal(colours[backs], [(0.0, 1.0, 0.0)] * 2)


def test_baking_shows_each_side_in_its_colour(package: Path) -> None:
    (entry,) = sweethome.entries(package)
    shape = bake(sweethome.load(entry), 100, np.random.default_rng(0))
    assert len(shape.faces) <= 12
    normals = normals_of(shape.vertices, shape.faces)
    h, w = shape.picture.shape[:2]
    middle = shape.uv.mean(axis=1)
    seen = shape.picture[(middle[:, 1] * h).astype(int), (middle[:, 0] * w).astype(int)].astype(float)
    forward, backward = normals[:, 0] > 0.9, normals[:, 0] < -0.9
    assert forward.any() and backward.any()
    assert (seen[forward, 0] > 2 * seen[forward, 1]).all() and (seen[backward, 1] > 2 * seen[backward, 0]).all()


def test_a_shape_is_made_once_and_read_back_the_same(package: Path, tmp_path: Path) -> None:
    (entry,) = sweethome.entries(package)
    folder = tmp_path / "cache"
    first = stored(entry, folder)
    (path,) = folder.glob("*.npz")
    again = stored(entry, folder)
    for name in ("vertices", "faces", "uv", "picture"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.solids == again.solids and first.colour == again.colour
    path.write_bytes(b"half of it")
    np.testing.assert_array_equal(stored(entry, folder).picture, first.picture)


def _source(vertices: FloatArray, faces: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Source:
    return Source(vertices, faces, np.full((len(faces), 3, 2), np.nan), np.zeros(len(faces), dtype=np.int64), (Material(),), {})


def test_what_is_inside_goes_and_what_is_turned_inside_out_is_turned_back() -> None:
    inner = 0.2 + 0.6 * CUBE
    vertices, faces, amiss = simplified(_source(np.concatenate([CUBE, inner]), np.concatenate([SIDES[:, ::-1], SIDES + 8])), 100)
    assert len(faces) == 12 and amiss < 0.01
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    outward = (np.cross(b - a, c - a) * ((a + b + c) / 3 - 0.5)).sum(axis=1)
    assert (outward > 0).all()


def test_a_sheet_that_is_seen_from_both_sides_gets_two() -> None:
    sheet = _source(np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 1.0), (0.0, 0.0, 1.0)]), np.array([(0, 1, 2), (0, 2, 3)]))
    vertices, faces, amiss = simplified(sheet, 20)
    assert len(faces) == 4 and amiss < 0.01
    assert unlike(sheet, vertices, faces[:2]) > 0.3


def test_obj_faces_may_be_polygons_and_count_backwards() -> None:
    model = read_obj("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nf -4/1 -3/2 -2/3 -1\n", lambda _: None)
    np.testing.assert_array_equal(model.faces, [(0, 1, 2), (0, 2, 3)])
    assert np.isnan(model.uv[1, 2]).all() and model.uv[0].tolist() == [[0, 0], [1, 0], [1, 1]]
    for text in ("v 0 0 0\n", "v 0 0 0\nf 1 2 3\n"):
        with pytest.raises(BadInputError):
            read_obj(text, lambda _: None)
    materials = read_mtl("newmtl a b\nKd 0.1 0.2 0.3\nTr 0.25\nmap_Kd -s 1 1 1 wood.png\n")
    assert materials == {"a b": Material((0.1, 0.2, 0.3), 0.75, "wood.png")}


def test_attributions_name_author_and_licence_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweethome, "FOLDER", package)
    entries: tuple[Entry, ...] = sweethome.entries(package)
    monkeypatch.setattr(sweethome, "installed", lambda: True)
    monkeypatch.setattr(sweethome, "entries", lambda: entries)
    monkeypatch.setattr(sweethome, "version", lambda: "7")
    library = open_catalogue("train")
    assert library.name == "sweethome" and library.version.endswith("7")
    model = next(m for m in library.models["bed"] + open_catalogue("test").models["bed"] if not m.name.startswith("plain/"))
    text = open_catalogue("train").attributions([model, model, library.models["sofa"][0]])
    assert text.count("Scopia#bed1") == 1 and "CC BY 3.0" in text and "Puybaret" in text and "creativecommons.org" in text


@needs_package
@pytest.mark.parametrize("id", ["Kator Legaz#fridge", "Scopia#chair", "Blend Swap CC-0#drawersCabinet"])
def test_a_real_model_keeps_its_looks(id: str, tmp_path: Path) -> None:
    (entry,) = (e for e in sweethome.entries() if e.id == id)
    source, shape = sweethome.load(entry), stored(entry, tmp_path)
    assert len(shape.faces) <= 440
    np.testing.assert_allclose(shape.vertices.max(axis=0) - shape.vertices.min(axis=0), entry.size_m, atol=1e-4)
    assert unlike(source, shape.vertices, shape.faces) < 0.05
    assert shape.picture.shape[0] * shape.picture.shape[1] < 120_000
    assert 1 <= len(shape.solids) <= 4


@needs_package
def test_every_chosen_model_is_in_the_package() -> None:
    entries = sweethome.entries()
    assert len(entries) > 150
    assert len({e.id for e in entries}) == len(entries)
    for entry in entries:
        with zipfile.ZipFile(entry.archive) as file:
            assert entry.path in file.namelist()
