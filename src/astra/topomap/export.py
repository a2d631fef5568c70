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
from astra.topomap.types import EdgeKind, Node, TopoMap

# The marker by which an earlier export is known, so that nothing else is ever replaced.
_MARKER = "poses.txt"
_VISIBLE_PENALTY = 0.2  # per metre, as `RouteConfig.visible_cost`


def export_map(map_dir: Path, out: Path, min_width_m: float = 0.0) -> list[Path]:
    """Write every export of the map at `map_dir` to the folder `out`, whole or not at all.

    Fragments have frames of their own: each has its own trajectory and route graph, the first without a number in its name. A fragment
    without edges has no route graph, for Nav2's route server refuses one.

    Args:
        min_width_m: edges whose passage is known to be narrower are left out of the route graphs.

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
        "landmarks.csv": landmarks_csv(topomap),
    }
    for fragment in sorted({node.fragment for node in topomap.nodes.values()}):
        suffix = f"_{fragment}" if fragment else ""
        texts[f"trajectory{suffix}.tum"] = trajectory_text(topomap, fragment)
        graph = geojson(topomap, fragment, min_width_m)
        if any("startid" in feature["properties"] for feature in graph["features"]):
            texts[f"graph{suffix}.geojson"] = json.dumps(graph, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
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
    unit = "metres" if topomap.info.scale_source != "unknown" else "in units of unknown length"
    lines = [f"# image tx ty tz qx qy qz qw : map_from_cam (x right, y down, z forward), {unit}"]
    nodes = sorted(topomap.nodes.values(), key=lambda node: (node.fragment, node.id))
    for fragment, members in groupby(nodes, key=lambda node: node.fragment):
        lines.append(f"# fragment {fragment}")
        for view in (view for node in members for view in node.views):
            numbers = [f"{v:.6f}" for v in view.map_from_cam.translation] + [f"{v:.9f}" for v in view.map_from_cam.quaternion_xyzw()]
            lines.append(f"{Path(view.image).name} " + " ".join(numbers))
    return "\n".join(lines) + "\n"


def trajectory_text(topomap: TopoMap, fragment: int = 0) -> str:
    """map_from_base of a fragment's nodes as TUM text, stamps rising: where tours share stamps, the later node's is a microsecond later."""
    lines, last_ns = [], -1
    nodes = [node for node in topomap.nodes.values() if node.fragment == fragment]
    for node in sorted(nodes, key=lambda node: (node.stamp_ns, node.id)):
        stamp_ns = node.stamp_ns if node.stamp_ns > last_ns else last_ns + 1000
        last_ns = stamp_ns
        pose = node.map_from_base
        numbers = [f"{v:.6f}" for v in pose.translation] + [f"{v:.9f}" for v in pose.quaternion_xyzw()]
        lines.append(f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d} " + " ".join(numbers))
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


def geojson(topomap: TopoMap, fragment: int = 0, min_width_m: float = 0.0) -> dict[str, Any]:
    """A fragment for Nav2's route server: nodes as points, each undirected edge as two directed ones, coordinates in metres of the map frame.

    `penalty` is what the server's PenaltyScorer adds for an edge that nobody has driven. Metadata holds what its loader takes: numbers, texts,
    truth values and lists of them.
    """
    nodes = sorted((node for node in topomap.nodes.values() if node.fragment == fragment), key=lambda node: node.id)
    features = [_node_feature(topomap, node) for node in nodes]
    next_id = 1 + max((node.id for node in nodes), default=0)  # the route server wants ids unique over nodes and edges
    here = {node.id for node in nodes}
    for edge in topomap.edges:
        if edge.a not in here or edge.width_m < min_width_m:
            continue
        for start, end in ((edge.a, edge.b), (edge.b, edge.a)):
            line = [_xy(topomap.nodes[start]), _xy(topomap.nodes[end])]
            metadata: dict[str, Any] = {"kind": str(edge.kind)}
            if edge.kind is EdgeKind.VISIBLE:
                metadata["penalty"] = round(_VISIBLE_PENALTY * edge.length_m, 4)
            if math.isfinite(edge.width_m):
                metadata["width_m"] = round(edge.width_m, 3)
            properties = {"id": next_id, "startid": start, "endid": end, "cost": round(edge.length_m, 4), "overridable": True, "metadata": metadata}
            features.append({"type": "Feature", "properties": properties, "geometry": {"type": "MultiLineString", "coordinates": [line]}})
            next_id += 1
    unit = "metres" if topomap.info.scale_source != "unknown" else "unknown"
    return {"type": "FeatureCollection", "name": topomap.info.name, "unit": unit, "features": features}


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
