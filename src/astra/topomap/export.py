"""A map in other tools' formats: Nav2 occupancy and route-server graph, image poses, landmarks as a table, the tour as TUM."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

from astra.core.errors import MapError
from astra.core.paths import atomic_dir
from astra.topomap.io import load_map
from astra.topomap.types import Node, TopoMap

# The marker by which an earlier export is known, so that nothing else is ever replaced.
_MARKER = "poses.txt"


def export_map(map_dir: Path, out: Path) -> list[Path]:
    """Write every export of the map at `map_dir` to the folder `out`, whole or not at all.

    Returns:
        The files written.

    Raises:
        MapError: the map cannot be read, or `out` holds something that is not an earlier export.
    """
    topomap = load_map(map_dir)
    if out.exists() and not (out / _MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise MapError(f"{out} exists and is not an earlier export; it is left as it is")
    texts = {
        _MARKER: poses_text(topomap),
        "trajectory.tum": trajectory_text(topomap),
        "landmarks.csv": landmarks_csv(topomap),
        "graph.geojson": json.dumps(geojson(topomap), ensure_ascii=False, allow_nan=False, indent=1) + "\n",
    }
    with atomic_dir(out) as folder:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        nav2 = [map_dir / "nav2" / name for name in ("map.yaml", "map.pgm")]
        for file in nav2:
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
    return sorted(p for p in out.iterdir() if p.is_file())


def poses_text(topomap: TopoMap) -> str:
    """`image tx ty tz qx qy qz qw` a line: map_from_cam with OpenCV camera axes, one line an image, `# fragment K` before each fragment."""
    lines = ["# image tx ty tz qx qy qz qw : map_from_cam (x right, y down, z forward), metres"]
    nodes = sorted(topomap.nodes.values(), key=lambda node: (node.fragment, node.id))
    for fragment, members in groupby(nodes, key=lambda node: node.fragment):
        lines.append(f"# fragment {fragment}")
        for view in (view for node in members for view in node.views):
            numbers = [*view.map_from_cam.translation, *view.map_from_cam.quaternion_xyzw()]
            lines.append(f"{Path(view.image).name} " + " ".join(f"{v:.6f}" for v in numbers))
    return "\n".join(lines) + "\n"


def trajectory_text(topomap: TopoMap) -> str:
    """map_from_base of every node as TUM text, in time order."""
    lines = []
    for node in sorted(topomap.nodes.values(), key=lambda node: (node.stamp_ns, node.id)):
        pose = node.map_from_base
        numbers = [*pose.translation, *pose.quaternion_xyzw()]
        lines.append(f"{node.stamp_ns // 10**9}.{node.stamp_ns % 10**9:09d} " + " ".join(f"{v:.6f}" for v in numbers))
    return "\n".join(lines) + "\n"


def landmarks_csv(topomap: TopoMap) -> str:
    """One line a landmark."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("id", "label", "is_text", "attributes", "function", "x_m", "y_m", "z_m", "sigma_m", "normal_x", "normal_y", "normal_z", "nodes", "views"))
    for m in sorted(topomap.landmarks.values(), key=lambda m: m.id):
        normal = ("", "", "") if m.normal_map is None else tuple(f"{v:.4f}" for v in m.normal_map)
        position = tuple(f"{v:.4f}" for v in m.position_map)
        sigma = f"{m.position_sigma_m:.4f}" if math.isfinite(m.position_sigma_m) else ""
        members = (" ".join(map(str, m.node_ids)), " ".join(map(str, m.view_ids)))
        writer.writerow((m.id, _inert(m.label), int(m.is_text), _inert(m.attributes), _inert(m.function), *position, sigma, *normal, *members))
    return stream.getvalue()


def geojson(topomap: TopoMap) -> dict[str, Any]:
    """The graph for Nav2's route server: nodes as points, each undirected edge as two directed ones, coordinates in metres of the map frame."""
    nodes = sorted(topomap.nodes.values(), key=lambda node: node.id)
    features = [_node_feature(topomap, node) for node in nodes]
    next_id = 1 + max((node.id for node in nodes), default=0)  # the route server wants ids unique over nodes and edges
    for edge in topomap.edges:
        for start, end in ((edge.a, edge.b), (edge.b, edge.a)):
            line = [_xy(topomap.nodes[start]), _xy(topomap.nodes[end])]
            metadata: dict[str, Any] = {"kind": str(edge.kind)}
            if math.isfinite(edge.width_m):
                metadata["width_m"] = round(edge.width_m, 3)
            properties = {"id": next_id, "startid": start, "endid": end, "cost": round(edge.length_m, 4), "overridable": True, "metadata": metadata}
            features.append({"type": "Feature", "properties": properties, "geometry": {"type": "MultiLineString", "coordinates": [line]}})
            next_id += 1
    return {"type": "FeatureCollection", "name": topomap.info.name, "features": features}


def _node_feature(topomap: TopoMap, node: Node) -> dict[str, Any]:
    labels = [topomap.landmarks[i].label for i in node.landmark_ids if i in topomap.landmarks]
    metadata = {"yaw": round(node.map_from_base.pose2().yaw, 4), "fragment": node.fragment, "landmarks": labels}
    properties = {"id": node.id, "frame": "map", "metadata": metadata}
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": _xy(node)}}


def _xy(node: Node) -> list[float]:
    return [round(float(v), 4) for v in node.map_from_base.translation[:2]]


def _inert(text: str) -> str:
    """Text read from the world, on one line, that no spreadsheet takes for a formula."""
    flat = " ".join(text.split())
    return f"'{flat}" if flat[:1] in ("=", "+", "-", "@") else flat
