"""Real meshes from Debian's package `sweethome3d-furniture`: which models there are, and each one's triangles in a piece's frame.

The package holds zip files, each with `PluginFurnitureCatalog.properties` and the models as OBJ, MTL and pictures. `sweethome.yaml` says
which of its 820 models furnish our rooms, as what, and how far each must be turned.
"""

from __future__ import annotations

import functools
import io
import posixpath
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, IntArray, UInt8Array
from astra.sim.furniture.shape import Size
from astra.sim.furniture.tables import read_yaml
from astra.sim.furniture.wavefront import Material, read_obj

FOLDER = Path("/usr/share/sweethome3d/furniture")
PREFIX = "sweethome/"
PROPERTIES = "PluginFurnitureCatalog.properties"
PICTURE_PX = 256  # longest side that a model's picture is read at
LICENCES = {  # as LICENSE.TXT of each library says
    "BlendSwap-CC-0": "CC0 1.0",
    "BlendSwap-CC-BY": "CC BY 3.0",
    "KatorLegaz": "CC BY 3.0 US",
    "Scopia": "CC BY 3.0",
}
HOLDERS = {"KatorLegaz": "Andrew Kator & Jennifer Legaz", "Scopia": "Scopia Visual Interfaces Systems, s.l. and Emmanuel Puybaret / eTeks"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the package.

    Args:
        id: its name in the package, for example `Scopia#bed1`.
        category: what it is for us.
        title: its name for people.
        creator: who made it.
        licence: under which it may be used.
        archive: the zip file.
        path: of the OBJ file within.
        size_m: depth, width, height after `turn`.
        turn: quarter turns, counter-clockwise from above, from the package's front to ours.
        raised_m: how far above the floor it begins.
        rotation: (3, 3) from the file's axes to the package's, row by row.
    """

    id: str
    category: str
    title: str
    creator: str
    licence: str
    archive: str
    path: str
    size_m: Size
    turn: int
    raised_m: float
    rotation: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A model as its author made it, in a piece's frame: vertices (N, 3) [m], faces (M, 3), uv (M, 3, 2), material (M,), materials, pictures."""

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray
    material: IntArray
    materials: tuple[Material, ...]
    pictures: dict[str, UInt8Array]


def installed(folder: Path = FOLDER) -> bool:
    """Whether the package is there."""
    return any((folder / f"{library}.sh3f").is_file() for library in LICENCES)


@functools.cache
def entries(folder: Path = FOLDER) -> tuple[Entry, ...]:
    """Every model that we use, by category; what an older package does not hold is left out."""
    wanted = read_yaml("sweethome.yaml")
    there: dict[str, tuple[str, dict[str, str]]] = {}
    for library in LICENCES:
        archive = folder / f"{library}.sh3f"
        if archive.is_file():
            with zipfile.ZipFile(archive) as file:
                there |= {item["id"]: (library, item) for item in _properties(file.read(PROPERTIES))}
    return tuple(
        _entry(folder, *there[choice["id"]], category, choice) for category, choices in wanted.items() for choice in choices if choice["id"] in there
    )


def version(folder: Path = FOLDER) -> str:
    """What tells one release of the package from another: the sizes of its files."""
    return "-".join(str((folder / f"{library}.sh3f").stat().st_size) for library in LICENCES if (folder / f"{library}.sh3f").is_file())


def load(entry: Entry) -> Source:
    """Read a model from its archive, scaled to the catalogue's size and turned so that its front faces +x.

    Raises:
        BadInputError: the archive lacks the model.
    """
    with zipfile.ZipFile(entry.archive) as file:
        folder = posixpath.dirname(entry.path)

        def read(name: str) -> bytes | None:
            path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
            return file.read(path) if path in file.namelist() else None

        def read_text(name: str) -> str | None:
            content = read(name)
            return content.decode("utf-8", "replace") if content is not None else None

        text = read_text(posixpath.basename(entry.path))
        if text is None:
            raise BadInputError(f"{entry.archive}: no {entry.path}")
        model = read_obj(text, read_text)
        names = {m.picture for m in model.materials if m.picture}
        pictures = {name: picture for name in names if (picture := _picture(read(name))) is not None}
    return Source(_in_frame(model.vertices, model.faces, entry), model.faces, model.uv, model.material, model.materials, pictures)


def _in_frame(vertices: FloatArray, faces: IntArray, entry: Entry) -> FloatArray:
    """The package's axes (x right, y up, z towards the viewer, whom the front faces) to ours, scaled to the catalogue's size."""
    x, y, z = (vertices @ np.array(entry.rotation).reshape(3, 3).T).T
    points = np.stack([z, x, y], axis=1)
    for _ in range(entry.turn % 4):
        points = np.stack([-points[:, 1], points[:, 0], points[:, 2]], axis=1)
    used = points[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    scaled: FloatArray = (points - (low + high) / 2) / np.maximum(high - low, 1e-9) * np.asarray(entry.size_m)
    scaled[:, 2] += entry.size_m[2] / 2 + entry.raised_m
    return scaled


def _entry(folder: Path, library: str, item: dict[str, str], category: str, choice: dict[str, object]) -> Entry:
    width, depth, height = (float(item[key]) / 100 for key in ("width", "depth", "height"))
    turn = int(str(choice.get("turn", 0)))
    size = (depth, width, height) if turn % 2 == 0 else (width, depth, height)
    rotation = tuple(float(v) for v in item.get("modelRotation", "1 0 0 0 1 0 0 0 1").split())
    creator = HOLDERS.get(library, item.get("creator", "unknown"))
    raised = float(str(choice.get("raised_m", 0.0)))
    title = item.get("name", item["id"].rpartition("#")[2])
    path = item["model"].lstrip("/")
    return Entry(item["id"], category, title, creator, LICENCES[library], str(folder / f"{library}.sh3f"), path, size, turn, raised, rotation)


def _properties(content: bytes) -> list[dict[str, str]]:
    """Items of a Java properties file whose keys end in #number."""
    items: dict[int, dict[str, str]] = {}
    for key, number, value in re.findall(r"^\s*(\w+)#(\d+)\s*=\s*(.*?)\s*$", content.decode("latin-1"), re.MULTILINE):
        plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), value)
        items.setdefault(int(number), {})[key] = re.sub(r"\\(.)", r"\1", plain)
    return [item for item in items.values() if "id" in item]


def _picture(content: bytes | None) -> UInt8Array | None:
    """A picture (H, W, 4) RGBA, made small; None if it cannot be read."""
    if content is None:
        return None
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content)).convert("RGBA")
    except OSError:
        return None
    image.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.uint8)
