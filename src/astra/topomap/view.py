"""One HTML page that shows a map: occupancy, graph, landmarks and every place's pictures; no network, no other files."""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from astra.core.errors import MapError
from astra.core.paths import atomic_write
from astra.core.types import UInt8Array
from astra.topomap.io import load_map
from astra.topomap.types import Landmark, Node, TopoMap, View

MAX_PICTURES_BYTES = 12_000_000  # of JPEG in one page; beyond it every node shows its first camera, beyond that every second node and so on


def write_html(map_dir: Path, out: Path) -> None:
    """Write the page of the map at `map_dir` to the file `out`.

    Raises:
        MapError: the map cannot be read, or its occupancy grid is damaged.
    """
    topomap = load_map(map_dir)
    pictures = _pictures(map_dir, topomap)
    data = {
        "name": topomap.info.name,
        "scale": topomap.info.scale_source,
        "warnings": list(topomap.info.warnings),
        "audit": None if topomap.info.audit is None else topomap.info.audit.to_json(),
        "loops": [] if topomap.info.audit is None else [[loop.a, loop.b] for loop in topomap.info.audit.suspicious_loops],
        "nodes": [_node(node) for node in sorted(topomap.nodes.values(), key=lambda n: n.id)],
        "edges": [[e.a, e.b, str(e.kind), _round(e.width_m, 2)] for e in topomap.edges],
        "landmarks": [_landmark(m) for m in sorted(topomap.landmarks.values(), key=lambda m: m.id)],
        "pictures": pictures,
        "grid": _grid(map_dir / "nav2" / "map.yaml"),
    }
    template = resources.files("astra.topomap").joinpath("view.html").read_text(encoding="utf-8")
    atomic_write(out, template.replace("/*DATA*/null", _safe_json(data)).replace("<!--TITLE-->", _escape(topomap.info.name)))


def encode_png(grey: UInt8Array) -> bytes:
    """A greyscale PNG of an image (H, W) uint8."""
    height, width = grey.shape
    rows = np.column_stack([np.zeros(height, np.uint8), grey]).tobytes()  # each row starts with its filter, 0: none

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def read_pgm(path: Path) -> UInt8Array:
    """A binary 8-bit PGM image (H, W).

    Raises:
        MapError: the file is missing or is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MapError(f"cannot read {path}: {error.strerror or error}") from error
    fields: list[bytes] = []
    position = 0
    while len(fields) < 4 and position < len(content):
        if content[position : position + 1] == b"#":  # a comment runs to the end of its line
            position = (content.find(b"\n", position) + 1) or len(content)
        elif content[position : position + 1].isspace():
            position += 1
        else:
            end = next((i for i in range(position, len(content)) if content[i : i + 1].isspace()), len(content))
            fields.append(content[position:end])
            position = end
    position += 1  # one white space parts header and pixels
    if len(fields) < 4 or fields[0] != b"P5" or not all(f.isdigit() for f in fields[1:]) or int(fields[3]) > 255:
        raise MapError(f"{path} is not a binary 8-bit PGM image")
    width, height = int(fields[1]), int(fields[2])
    if width == 0 or height == 0 or len(content) - position < width * height:
        raise MapError(f"{path} is damaged: {width}×{height} pixels do not fit its size")
    return np.frombuffer(content, np.uint8, width * height, position).reshape(height, width)


def _grid(nav2_yaml: Path) -> dict[str, Any] | None:
    """The occupancy grid as a data URL with its corner and resolution, or None where there is none."""
    if not nav2_yaml.is_file():
        return None
    try:
        meta = yaml.safe_load(nav2_yaml.read_text(encoding="utf-8"))
        resolution, origin = float(meta["resolution"]), [float(v) for v in meta["origin"][:2]]
        image = read_pgm(nav2_yaml.parent / str(meta["image"]))
    except (KeyError, TypeError, ValueError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MapError(f"{nav2_yaml} is damaged: {type(error).__name__}: {error}") from error
    url = "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()
    return {"url": url, "x": origin[0], "y": origin[1], "w": image.shape[1] * resolution, "h": image.shape[0] * resolution}


def _pictures(map_dir: Path, topomap: TopoMap) -> dict[str, str]:
    """View id → JPEG in base64, as many as the page may hold, spread over the map."""
    nodes = [node for node in sorted(topomap.nodes.values(), key=lambda n: n.id) if node.views]
    sizes = {v.id: _size(map_dir / v.image) for node in nodes for v in node.views}
    chosen: list[View] = [v for node in nodes for v in node.views]
    step = 1
    while chosen and sum(sizes[v.id] for v in chosen) > MAX_PICTURES_BYTES:
        chosen = [node.views[0] for node in nodes[::step]]
        step *= 2
        if len(chosen) == 1:
            break
    return {str(v.id): base64.b64encode((map_dir / v.image).read_bytes()).decode() for v in chosen if sizes[v.id]}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _node(node: Node) -> dict[str, Any]:
    pose = node.map_from_base.pose2()
    return {
        "id": node.id, "x": round(pose.x, 3), "y": round(pose.y, 3), "yaw": round(pose.yaw, 4), "fragment": node.fragment,
        "sigma": _round(node.position_sigma_m, 3), "landmarks": list(node.landmark_ids),
        "views": [[view.id, view.camera] for view in node.views],
    }  # fmt: skip


def _landmark(m: Landmark) -> dict[str, Any]:
    normal = None if m.normal_map is None else [round(float(v), 3) for v in m.normal_map[:2]]
    return {
        "id": m.id, "label": m.label, "text": m.is_text, "attributes": m.attributes, "function": m.function,
        "p": [round(float(v), 3) for v in m.position_map], "sigma": _round(m.position_sigma_m, 3), "normal": normal, "ellipse": _ellipse(m),
        "nodes": list(m.node_ids), "views": list(m.view_ids),
    }  # fmt: skip


def _ellipse(m: Landmark) -> list[float] | None:
    """One standard deviation of the position on the floor: half axes [m] and the first one's angle [rad]."""
    if m.covariance_map is None:
        return None
    values, vectors = np.linalg.eigh(m.covariance_map[:2, :2])
    half = np.sqrt(np.maximum(values, 0.0))
    return [round(float(half[1]), 4), round(float(half[0]), 4), round(math.atan2(float(vectors[1, 1]), float(vectors[0, 1])), 4)]


def _round(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


def _safe_json(data: Any) -> str:
    """JSON that may stand inside a <script>: text read from the world cannot end it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
