"""The catalogue that a generated world furnishes itself from: real meshes where there are any, else the plain set, category by category."""

from __future__ import annotations

import hashlib
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.sim.furniture import bake, sweethome
from astra.sim.furniture import plain as plain_set
from astra.sim.furniture.attribution import attribution
from astra.sim.furniture.shape import Shape
from astra.sim.furniture.store import stored
from astra.sim.furniture.sweethome import Entry
from astra.sim.meshes import SceneBuilder, rotate
from astra.sim.worlds.plan import CATEGORIES, Model, Split

ENOUGH = 4  # models of a category from which train and test get different ones
TEST_SHARE = 3  # one of so many models is kept for the test


class Library:
    """Furniture to choose from and to draw; `name` and `version` say which set it is.

    Args:
        name: of the set.
        version: another one draws other worlds.
        models: what there is to choose from.
        entries: where the models that are not plain come from, by the model's name.
    """

    def __init__(self, name: str, version: str, models: Iterable[Model], entries: Mapping[str, Entry]) -> None:
        self.name, self.version, self._entries = name, version, entries
        self.models: dict[str, tuple[Model, ...]] = {}
        for model in models:
            self.models[model.category] = (*self.models.get(model.category, ()), model)
        self._shapes: dict[tuple[str, int], Shape] = {}
        self._drawn: weakref.WeakKeyDictionary[SceneBuilder, dict[tuple[str, int], int]] = weakref.WeakKeyDictionary()

    def pick(self, category: str, rng: np.random.Generator, within: tuple[float, float, float] = (9.0, 9.0, 9.0)) -> Model | None:
        """A model of a category no larger than `within` (depth, width, height) [m]; None if there is none."""
        if category not in CATEGORIES:
            raise BadInputError(f"no such category of furniture: '{category}'; there are {', '.join(CATEGORIES)}")
        fitting = [m for m in self.models.get(category, ()) if all(a <= b + 1e-9 for a, b in zip(m.size_m, within))]
        return fitting[int(rng.integers(len(fitting)))] if fitting else None

    def build(
        self, scene: SceneBuilder, model: Model, x: float, y: float, yaw_rad: float, z_m: float, rng: np.random.Generator, zone: str
    ) -> tuple[float, float, float]:
        """Draw a model with its footprint's centre at (x, y), standing on `z_m`, its front towards `yaw_rad`, and make it solid.

        Returns:
            the colour that it shows most, RGB of 0…255.
        """
        shape, patch = self._prepared(scene, model, rng)
        moved = _placed(shape.vertices, x, y, yaw_rad, z_m)
        scene.mesh(moved, shape.faces, shape.uv, patch, zone=zone)
        for solid in shape.solids:
            (px, py, pz) = _placed(np.array([solid.centre]), x, y, yaw_rad, z_m)[0].tolist()
            scene.solid_box((px, py, pz), solid.size, yaw_rad)
        return shape.colour

    def shape(self, model: Model, variant: int = 0) -> Shape:
        """What a model looks like, in its own frame."""
        key = (model.name, variant)
        if key not in self._shapes:
            if model.name in self._entries:
                self._shapes[key] = stored(self._entries[model.name])
            elif model.name.startswith(plain_set.PREFIX):
                self._shapes[key] = plain_set.shape(model, variant)
            else:
                raise BadInputError(f"the catalogue '{self.name}' has no model '{model.name}'")
        return self._shapes[key]

    def triangles(self, model: Model) -> int:
        """Triangles that one piece of this model takes."""
        return len(self.shape(model).faces)

    def attributions(self, models: Iterable[Model]) -> str:
        """Who made the models among these that are not our own, "" if there are none."""
        return attribution(self._entries[m.name] for m in models if m.name in self._entries)

    def _prepared(self, scene: SceneBuilder, model: Model, rng: np.random.Generator) -> tuple[Shape, int]:
        """A model's shape and the number of its picture in a scene; one picture for all pieces of a model that look the same."""
        looks = plain_set.variants(model.category) if model.name.startswith(plain_set.PREFIX) else 1
        if looks == 0:
            shape = plain_set.shape(model, int(rng.integers(2**31)))
            return shape, scene.patch(shape.picture)
        variant = int(rng.integers(looks))
        shape = self.shape(model, variant)
        patches = self._drawn.setdefault(scene, {})
        key = (model.name, variant)
        if key not in patches:
            patches[key] = scene.patch(shape.picture)
        return shape, patches[key]


def _placed(points: FloatArray, x: float, y: float, yaw_rad: float, z_m: float) -> FloatArray:
    moved = rotate(points, yaw_rad, (x, y))
    moved[:, 2] += z_m
    return moved


def open_catalogue(split: Split, *, plain: bool = False) -> Library:
    """Furniture for worlds of a split: test worlds hold models that no training world has, where a category has enough of them.

    Args:
        split: validation uses the training models.
        plain: only boxes and drums, even if real meshes are installed.
    """
    if plain or not sweethome.installed():
        return Library("plain", plain_set.VERSION, _of_split(plain_set.models(), split), {})
    entries = {sweethome.PREFIX + entry.id: entry for entry in sweethome.entries()}
    real = [Model(name, entry.category, (*entry.size_m[:2], entry.size_m[2] + entry.raised_m)) for name, entry in entries.items()]
    known = Counter(model.category for model in real)
    models = real + [model for model in plain_set.models() if known[model.category] < ENOUGH]
    return Library("sweethome", f"{plain_set.VERSION}.{bake.VERSION}-{sweethome.version()}", _of_split(models, split), entries)


def _of_split(models: Iterable[Model], split: Split) -> list[Model]:
    """The models of a split. The share of each category for the test is chosen by a hash of the names, so that it is stable.

    What differs only in colour (its name before the dot) stays together.
    """
    chosen = []
    every = list(models)
    for category in dict.fromkeys(m.category for m in every):
        of = [m for m in every if m.category == category]
        designs = sorted({_design(m) for m in of}, key=lambda name: hashlib.sha256(name.encode()).digest())
        kept = set(designs[: max(1, len(designs) // TEST_SHARE)]) if len(designs) >= ENOUGH else set()
        chosen += [m for m in of if not kept or (_design(m) in kept) == (split == "test")]
    return sorted(chosen, key=lambda m: m.name)


def _design(model: Model) -> str:
    return model.name.partition(".")[0]
