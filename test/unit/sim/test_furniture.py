"""Furniture: every category is there, life-like in size, light in triangles, solid where it stands, the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.sim.furniture import Library, open_catalogue, sweethome
from astra.sim.furniture.shape import Shape, arrange
from astra.sim.furniture.solids import LOW_M, solids_of
from astra.sim.meshes import SceneBuilder
from astra.sim.worlds.plan import CATEGORIES, Model, Split

SPLITS: tuple[Split, ...] = ("train", "validate", "test")
# Least and most depth, width and height of a category [m]: 0.3 to 2.5 for what is not named here.
BOUNDS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "table": ((0.5, 1.3), (0.6, 2.7), (0.6, 1.1)),
    "bed": ((1.8, 2.4), (0.8, 2.2), (0.4, 1.3)), "sofa": ((0.6, 1.2), (1.2, 2.5), (0.6, 1.1)), "chair": ((0.35, 0.85), (0.35, 0.8), (0.65, 1.2)),
    "office_chair": ((0.45, 0.8), (0.45, 0.8), (0.75, 1.3)), "desk": ((0.5, 1.0), (0.9, 2.0), (0.65, 1.3)), "fridge": ((0.5, 1.0), (0.5, 1.0), (1.1, 2.1)),
    "stove": ((0.5, 0.8), (0.45, 1.1), (0.5, 1.2)), "counter": ((0.5, 0.8), (0.4, 1.3), (0.8, 1.0)), "toilet": ((0.5, 0.9), (0.3, 0.6), (0.6, 1.0)),
    "wardrobe": ((0.5, 0.8), (0.8, 2.3), (1.8, 2.4)), "rack": ((0.8, 1.25), (2.0, 3.2), (2.0, 2.5)), "pallet": ((0.7, 1.3), (0.9, 1.3), (0.1, 0.2)),
    "tv": ((0.1, 0.4), (0.5, 1.4), (0.4, 0.9)), "bicycle": ((0.35, 0.7), (1.1, 1.9), (0.7, 1.2)), "forklift": ((2.0, 2.6), (0.9, 1.4), (1.8, 2.4)),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> Library:
    """The set that is always there."""
    return open_catalogue("train", plain=True)


def _every(library: Library) -> list[Model]:
    return [model for models in library.models.values() for model in models]


def _first(library: Library) -> list[Model]:
    return [models[0] for models in library.models.values()]


def _footprint_below(shape: Shape) -> FloatArray:
    """Points (K, 2) of the triangles below one metre."""
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), (len(shape.faces), 20))
    points = np.einsum("mkc,mcd->mkd", weights, shape.vertices[shape.faces]).reshape(-1, 3)
    low: FloatArray = points[points[:, 2] < LOW_M][:, :2]
    return low


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("real", [False, True])
def test_every_category_is_there_and_life_like(split: Split, real: bool) -> None:
    library = open_catalogue(split, plain=not real)
    assert set(library.models) == set(CATEGORIES)
    for model in _every(library):
        for value, (low, high) in zip(model.size_m, BOUNDS.get(model.category, ((0.1, 2.5),) * 3)):
            assert low <= value <= high, model


def test_plain_pieces_fill_their_size_with_few_triangles(plain: Library) -> None:
    for model in _first(plain):
        shape = plain.shape(model)
        low, high = shape.vertices.min(axis=0), shape.vertices.max(axis=0)
        np.testing.assert_allclose(high - low, model.size_m, atol=1e-6)
        np.testing.assert_allclose((low + high)[:2], 0.0, atol=1e-6)
        assert low[2] == pytest.approx(0.0, abs=1e-6)
        assert len(shape.faces) <= (150 if model.category == "rack" else 300), model
        assert shape.uv.min() >= 0.0 and shape.uv.max() <= 1.0
        assert shape.picture.std() > 2.0


def test_solids_cover_the_footprint_closely(plain: Library) -> None:
    for model in _first(plain):
        shape = plain.shape(model)
        points = _footprint_below(shape)
        covered = np.zeros(len(points), dtype=bool)
        for solid in shape.solids:
            covered |= (np.abs(points - solid.centre[:2]) <= np.array(solid.size[:2]) / 2 + 1e-6).all(axis=1)
            assert solid.centre[2] == pytest.approx(solid.size[2] / 2)
        assert covered.all(), model
        assert 1 <= len(shape.solids) <= 4
        corners = np.array([(s.centre[k] - s.size[k] / 2, s.centre[k] + s.size[k] / 2) for s in shape.solids for k in (0, 1)]).reshape(-1, 2, 2)
        assert corners[:, 0].min() >= points[:, 0].min() - 0.03 and corners[:, 0].max() <= points[:, 0].max() + 0.03


def test_an_l_shape_leaves_its_inner_corner_free_and_a_high_shade_adds_nothing() -> None:
    def box(x0: float, x1: float, y0: float, y1: float, z1: float, z0: float = 0.0) -> FloatArray:
        return np.array([(x, y, z) for x in (x0, x1) for y in (y0, y1) for z in (z0, z1)])

    faces = np.array([(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1), (2, 3, 7), (2, 7, 6), (1, 5, 7), (1, 7, 3), (0, 2, 6), (0, 6, 4)])
    corner = solids_of(np.concatenate([box(0, 2, 0, 0.6, 0.8), box(0, 0.6, 0, 2, 0.8)]), np.concatenate([faces, faces + 8]))
    assert sum(s.size[0] * s.size[1] for s in corner) == pytest.approx(2 * 0.6 + 0.6 * 1.4, rel=0.06)
    lamp = solids_of(np.concatenate([box(-0.1, 0.1, -0.1, 0.1, 1.6), box(-0.3, 0.3, -0.3, 0.3, 1.6, 1.3)]), np.concatenate([faces, faces + 8]))
    assert [s.size[:2] for s in lamp] == [pytest.approx((0.2, 0.2), abs=1e-6)] and lamp[0].size[2] == pytest.approx(1.6)


def test_the_same_piece_looks_the_same_and_racks_do_not(plain: Library) -> None:
    again = open_catalogue("train", plain=True)
    for category in ("sofa", "bookcase", "toy"):
        a, b = (lib.shape(lib.models[category][0]) for lib in (plain, again))
        np.testing.assert_array_equal(a.picture, b.picture)
        np.testing.assert_array_equal(a.vertices, b.vertices)
    scene, rng = SceneBuilder(), np.random.default_rng(5)
    for category in ("rack", "rack", "sofa", "sofa"):
        plain.build(scene, plain.models[category][0], 0.0, 0.0, 0.0, 0.0, rng, "hall")
    assert len(scene._patches) == 3  # two racks of different goods, one sofa twice


@pytest.mark.parametrize("real", [False, True])
def test_train_and_test_furniture_differ(real: bool) -> None:
    train, validate, test = ({m.name for m in _every(open_catalogue(s, plain=not real))} for s in SPLITS)
    assert train == validate
    assert not train & test  # the plain set fills up every category that has few real models


def test_a_piece_fits_where_it_must_and_unknown_categories_are_named(plain: Library) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        table = plain.pick("table", rng, (0.9, 1.4, 1.0))
        assert table is not None and table.size_m[0] <= 0.9 and table.size_m[1] <= 1.4
    assert plain.pick("sofa", rng, (0.3, 0.3, 0.3)) is None
    with pytest.raises(BadInputError, match="throne"):
        plain.pick("throne", rng)
    with pytest.raises(BadInputError, match="nowhere/1"):
        plain.shape(Model("nowhere/1", "sofa", (1.0, 1.0, 1.0)))


def test_build_draws_in_its_zone_and_stands_where_it_should(plain: Library) -> None:
    scene, rng = SceneBuilder(), np.random.default_rng(0)
    model = plain.models["wardrobe"][0]
    colour = plain.build(scene, model, 3.0, 1.0, np.pi / 2, 0.5, rng, "study")
    assert scene.zones == ("study",) and scene.triangles == plain.triangles(model)
    assert all(0.0 <= c <= 255.0 for c in colour)
    (solid,) = scene.solids
    assert solid.centre[:2] == pytest.approx((3.0, 1.0), abs=0.02) and solid.yaw_rad == pytest.approx(np.pi / 2)
    assert solid.centre[2] == pytest.approx(0.5 + model.size_m[2] / 2, abs=0.02)


def test_without_the_package_the_plain_set_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweethome, "installed", lambda: False)
    library = open_catalogue("train")
    assert library.name == "plain" and library.attributions(_every(library)) == ""


def test_fields_of_a_picture_do_not_overlap() -> None:
    sizes = np.random.default_rng(1).integers(1, 60, (40, 2))
    (rows, columns), corners = arrange(sizes)
    taken = np.zeros((rows, columns), dtype=int)
    for (h, w), (y, x) in zip(sizes, corners):
        taken[y - 1 : y + h + 1, x - 1 : x + w + 1] += 1
    assert taken.max() == 1 and taken.sum() == ((sizes + 2).prod(axis=1)).sum()
