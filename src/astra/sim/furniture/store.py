"""Baked models on disk: each is made once from the installed package, then read in a few milliseconds."""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np

from astra.core.paths import atomic_write, cache_dir, recipe_hash
from astra.sim.furniture import bake, sweethome
from astra.sim.furniture.shape import Shape, Solid
from astra.sim.furniture.sweethome import Entry

LARGE_M3 = 0.45  # of the box around a model, from which it may have more triangles
TRIANGLES = (220, 400)  # small, large

log = logging.getLogger(__name__)


def stored(entry: Entry, folder: Path | None = None) -> Shape:
    """The simple shape of a model, from the cache, or made and put there.

    Args:
        entry: the model.
        folder: where the package lies, if elsewhere than usual.
    """
    large = float(np.prod(entry.size_m)) >= LARGE_M3
    recipe = {**asdict(entry), "archive": Path(entry.archive).stat().st_size, "triangles": TRIANGLES[large], "bake": bake.VERSION}
    path = (folder or cache_dir() / "furniture") / f"{recipe_hash(recipe)}.npz"
    shape = _read(path)
    if shape is None:
        log.info("simplifying the model %s (once)", entry.id)
        seed = int.from_bytes(hashlib.sha256(entry.id.encode()).digest()[:8], "little")
        content = _packed(bake.bake(sweethome.load(entry), TRIANGLES[large], np.random.default_rng(seed)))
        try:
            atomic_write(path, content)
        except OSError as error:
            log.warning("%s: %s; models are simplified anew each time", path, error)
        shape = _unpacked(content)
    return shape


def _packed(shape: Shape) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        vertices=shape.vertices.astype(np.float32),
        faces=shape.faces.astype(np.uint16),
        uv=shape.uv.astype(np.float32),
        picture=shape.picture,
        solids=np.array([(*s.centre, *s.size) for s in shape.solids]).round(4),
        colour=np.array(shape.colour).round(1),
    )
    return buffer.getvalue()


def _unpacked(content: bytes) -> Shape:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        solids = tuple(Solid((x, y, z), (a, b, c)) for x, y, z, a, b, c in file["solids"].tolist())
        red, green, blue = file["colour"].tolist()
        arrays = (file["vertices"].astype(np.float64), file["faces"].astype(np.int64), file["uv"].astype(np.float64), file["picture"])
        return Shape(*arrays, solids, (red, green, blue))


def _read(path: Path) -> Shape | None:
    """A stored shape; None if there is none, or none that can be read."""
    try:
        return _unpacked(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError) as error:
        log.warning("%s cannot be read (%s): making it anew", path, error)
        return None
