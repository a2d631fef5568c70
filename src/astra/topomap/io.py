"""The map folder: written whole or not at all, checked by size and hash, no pickle. docs/MAP_FORMAT.md describes every file."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from astra.core.config import parse_yaml
from astra.core.errors import BadInputError, MapError, NewerMapError
from astra.core.paths import atomic_dir
from astra.core.plain_text import plain_text
from astra.geometry import CameraModel, Pose3
from astra.topomap.audit import MapAudit
from astra.topomap.features import MapFeatures
from astra.topomap.types import UNKNOWN, Edge, EdgeKind, Landmark, MapInfo, Node, ScaleWitness, TopoMap, View

FORMAT = "astra-map"
FORMAT_VERSION = 1
FRAME = "map"
MAX_CHARACTERS = {"label": 120, "attributes": 160, "function": 240}  # of a landmark's texts
FEATURE_ARRAYS = {
    "view_ids": (np.int64, 1),
    "offsets": (np.int64, 1),
    "keypoints": (np.float32, 2),
    "descriptors": (np.uint8, 2),
    "points_map": (np.float32, 2),
    "point_ids": (np.int64, 1),
    "place": (np.float32, 2),
}


def save_map(topo: TopoMap, features: MapFeatures, images: Mapping[str, Path], out: Path, extras: Mapping[str, Path] | None = None) -> None:
    """Write a map folder; an older one at `out` is replaced only when the new one is complete.

    Args:
        images: `View.image` (a path inside the map folder, under images/) → the file to copy.
        extras: other paths inside the folder → files or folders to copy, e.g. nav2/ and sfm/.

    Raises:
        MapError: `out` exists and is not a map folder, or a view's image is missing.
    """
    if out.exists() and not (out / "map.yaml").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise MapError(f"{out} exists and is not a map folder; it is left as it is")
    wanted = {view.image for node in topo.nodes.values() for view in node.views}
    if wanted - set(images):
        raise MapError(f"the map names image {sorted(wanted - set(images))[0]!r}, which was not given")
    with atomic_dir(out) as folder:
        for name, source in {**images, **(extras or {})}.items():
            target = folder / _inside(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)
        (folder / "features").mkdir()
        for array in FEATURE_ARRAYS:
            np.save(folder / "features" / f"{array}.npy", getattr(features, array), allow_pickle=False)
        _write_json(folder / "graph.json", _graph_to_json(topo))
        _write_json(folder / "landmarks.json", [_landmark_to_json(mark) for mark in topo.landmarks.values()])
        (folder / "map.yaml").write_text(yaml.safe_dump(_manifest(topo, folder), sort_keys=False, allow_unicode=True), encoding="utf-8")


def load_map(path: Path) -> TopoMap:
    """Read the graph and landmarks of a map folder; images and features stay on disk.

    Raises:
        NewerMapError: a newer version of the format.
        MapError: not a map folder, or a damaged one; the message names the file and the reason.
    """
    manifest = read_manifest(path)
    try:
        graph = _read_json(path, manifest, "graph.json")
        marks = _read_json(path, manifest, "landmarks.json")
        cameras = {str(name): CameraModel.from_camera_info(info, f"camera {name}") for name, info in manifest["cameras"].items()}
        nodes = [_node_from_json(node) for node in graph["nodes"]]
        edges = tuple(_edge_from_json(edge) for edge in graph["edges"])
        landmarks = [_landmark_from_json(mark) for mark in marks]
        info = _info_from_manifest(manifest)
    except MapError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, BadInputError) as error:
        raise MapError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    topo = TopoMap(info, cameras, {n.id: n for n in nodes}, edges, {m.id: m for m in landmarks})
    _check_references(path, topo, len(nodes), len(landmarks))
    return topo


def load_features(path: Path, verify: bool = True) -> MapFeatures:
    """The map's features, memory-mapped read-only.

    Args:
        verify: compare the files' hashes too, not only their sizes.

    Raises:
        MapError: a file is missing, damaged, or of another shape or type.
    """
    manifest = read_manifest(path)
    arrays: dict[str, Any] = {}
    for name, (dtype, dimensions) in FEATURE_ARRAYS.items():
        file = _checked(path, manifest, f"features/{name}.npy", verify)
        try:
            array = np.load(file, mmap_mode="r" if file.stat().st_size > 4096 else None, allow_pickle=False)
        except (ValueError, OSError) as error:
            raise MapError(f"{file} is damaged: {error}") from error
        if array.dtype != dtype or array.ndim != dimensions:
            raise MapError(f"{file} holds {array.ndim}-D {array.dtype}, expected {dimensions}-D {np.dtype(dtype)}")
        arrays[name] = array
    features = MapFeatures(**arrays)
    rows, views = len(features.keypoints), len(features.view_ids)
    per_row = (features.descriptors, features.points_map, features.point_ids)
    if any(len(a) != rows for a in per_row) or len(features.offsets) != views + 1 or len(features.place) != views:
        raise MapError(f"{path} is damaged: its feature arrays do not belong together")
    if np.any(np.diff(features.offsets) < 0) or int(features.offsets[0]) != 0 or int(features.offsets[-1]) != rows:
        raise MapError(f"{path} is damaged: features/offsets.npy does not divide {rows} rows")
    return features


def read_manifest(path: Path) -> dict[str, Any]:
    """The contents of map.yaml, its format and version checked.

    Raises:
        NewerMapError: a newer version of the format.
        MapError: not a map folder.
    """
    file = path / "map.yaml"
    if not file.is_file():
        raise MapError(f"{path} is not a map folder: it has no map.yaml")
    try:
        manifest = parse_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MapError(f"{file} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise MapError(f"{file} is not the manifest of an Astra map (a Nav2 map, perhaps? those lie under nav2/)")
    version = manifest.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise MapError(f"{file}: format_version {version!r} is not a version")
    if version > FORMAT_VERSION:
        raise NewerMapError(f"{path} has map format {version}, this program reads up to {FORMAT_VERSION}: update it")
    if not isinstance(manifest.get("files"), dict) or not isinstance(manifest.get("cameras"), dict):
        raise MapError(f"{file} is damaged: `files` or `cameras` is missing")
    return manifest


def damaged_files(path: Path) -> list[str]:
    """Every file of the folder that is missing or not the one that was written, hashes compared; empty for a sound map."""
    manifest = read_manifest(path)
    found = []
    for name in manifest["files"]:
        try:
            _checked(path, manifest, str(name), verify=True)
        except MapError as error:
            found.append(str(error))
    return found


def _manifest(topo: TopoMap, folder: Path) -> dict[str, Any]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": topo.info.name,
        "frame": FRAME,
        "scale": {
            "source": topo.info.scale_source,
            "sigma": _number(topo.info.scale_sigma),
            "witnesses": [{"source": w.source, "ratio": _number(w.ratio), "sigma": _number(w.sigma), "used": w.used} for w in topo.info.scale_witnesses],
        },
        "up": {"source": topo.info.up_source, "sigma_rad": _number(topo.info.up_sigma_rad)},
        "warnings": list(topo.info.warnings),
        **({} if topo.info.audit is None else {"audit": topo.info.audit.to_json()}),
        "counts": {
            "nodes": len(topo.nodes),
            "views": sum(len(n.views) for n in topo.nodes.values()),
            "edges": len(topo.edges),
            "landmarks": len(topo.landmarks),
            "fragments": len({n.fragment for n in topo.nodes.values()}),
        },
        "cameras": {name: model.to_camera_info(name) for name, model in topo.cameras.items()},
        "build": _plain(topo.info.build),
        "files": {p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in files},
    }


def _info_from_manifest(manifest: Mapping[str, Any]) -> MapInfo:
    scale = manifest["scale"]
    sigma = UNKNOWN if scale.get("sigma") is None else float(scale["sigma"])
    warnings = tuple(str(w) for w in manifest.get("warnings", ()))
    audit = None if manifest.get("audit") is None else MapAudit.from_json(manifest["audit"])
    build = dict(manifest.get("build") or {})
    witnesses = tuple(
        ScaleWitness(str(w["source"]), _float(w["ratio"]), _float(w["sigma"]), bool(w["used"])) for w in scale.get("witnesses", ())
    )
    up = manifest.get("up") or {"source": "unknown", "sigma_rad": None}
    return MapInfo(
        str(manifest["name"]), str(scale["source"]), sigma, warnings, build, audit, witnesses, str(up["source"]), _float(up["sigma_rad"])
    )


def _graph_to_json(topo: TopoMap) -> dict[str, Any]:
    return {
        "nodes": [
            {
                "id": node.id,
                "stamp_ns": node.stamp_ns,
                "map_from_base": _pose_to_json(node.map_from_base),
                "views": [{"id": v.id, "camera": v.camera, "image": v.image, "map_from_cam": _pose_to_json(v.map_from_cam)} for v in node.views],
                "landmark_ids": list(node.landmark_ids),
                "fragment": node.fragment,
                "position_sigma_m": _number(node.position_sigma_m),
            }
            for node in topo.nodes.values()
        ],
        "edges": [
            {"a": e.a, "b": e.b, "length_m": _number(e.length_m), "kind": str(e.kind), "width_m": _number(e.width_m)} for e in topo.edges
        ],
    }


def _node_from_json(node: Mapping[str, Any]) -> Node:
    views = tuple(View(int(v["id"]), str(v["camera"]), str(_inside(v["image"])), _pose_from_json(v["map_from_cam"])) for v in node["views"])
    return Node(
        int(node["id"]),
        int(node["stamp_ns"]),
        _pose_from_json(node["map_from_base"]),
        views,
        tuple(int(i) for i in node["landmark_ids"]),
        int(node["fragment"]),
        _float(node["position_sigma_m"]),
    )


def _edge_from_json(edge: Mapping[str, Any]) -> Edge:
    return Edge(int(edge["a"]), int(edge["b"]), _float(edge["length_m"]), EdgeKind(edge["kind"]), _float(edge["width_m"]))


def _landmark_to_json(mark: Landmark) -> dict[str, Any]:
    return {
        "id": mark.id,
        "label": plain_text(mark.label, MAX_CHARACTERS["label"]),
        "is_text": mark.is_text,
        "attributes": plain_text(mark.attributes, MAX_CHARACTERS["attributes"]),
        "function": plain_text(mark.function, MAX_CHARACTERS["function"]),
        "position_map": [round(float(v), 4) for v in mark.position_map],
        "position_sigma_m": _number(mark.position_sigma_m),
        "normal_map": None if mark.normal_map is None else [round(float(v), 5) for v in mark.normal_map],
        "covariance_map": None if mark.covariance_map is None else [[round(float(v), 7) for v in row] for row in mark.covariance_map],
        "node_ids": list(mark.node_ids),
        "view_ids": list(mark.view_ids),
    }


def _landmark_from_json(mark: Mapping[str, Any]) -> Landmark:
    return Landmark(
        int(mark["id"]),
        plain_text(str(mark["label"]), MAX_CHARACTERS["label"]),
        bool(mark["is_text"]),
        plain_text(str(mark["attributes"]), MAX_CHARACTERS["attributes"]),
        plain_text(str(mark["function"]), MAX_CHARACTERS["function"]),
        _vector(mark["position_map"]),
        _float(mark["position_sigma_m"]),
        tuple(int(i) for i in mark["node_ids"]),
        tuple(int(i) for i in mark["view_ids"]),
        None if mark["normal_map"] is None else _vector(mark["normal_map"]),
        None if mark.get("covariance_map") is None else _covariance(mark["covariance_map"]),
    )


def _check_references(path: Path, topo: TopoMap, nodes: int, landmarks: int) -> None:
    """Refuse doubled ids and references to what is not there."""
    views = [view.id for node in topo.nodes.values() for view in node.views]
    known = set(views)
    problems = {
        "a node id occurs twice": nodes != len(topo.nodes),
        "a landmark id occurs twice": landmarks != len(topo.landmarks),
        "a view id occurs twice": len(views) != len(known),
        "an edge names a node that is not there": any(e.a not in topo.nodes or e.b not in topo.nodes or e.a == e.b for e in topo.edges),
        "a node names a landmark that is not there": any(i not in topo.landmarks for n in topo.nodes.values() for i in n.landmark_ids),
        "a landmark names a node that is not there": any(i not in topo.nodes for m in topo.landmarks.values() for i in m.node_ids),
        "a landmark names a view that is not there": any(i not in known for m in topo.landmarks.values() for i in m.view_ids),
        "a view names a camera that is not there": any(v.camera not in topo.cameras for n in topo.nodes.values() for v in n.views),
    }
    for problem, holds in problems.items():
        if holds:
            raise MapError(f"{path} is damaged: {problem}")


def _checked(path: Path, manifest: Mapping[str, Any], name: str, verify: bool) -> Path:
    """The file `name` of the map folder, if it is the one that was written."""
    entry = manifest["files"].get(name)
    if not isinstance(entry, dict):
        raise MapError(f"{path} is damaged: map.yaml does not list {name}")
    file = path / _inside(name)
    if not file.is_file():
        raise MapError(f"{path} is damaged: {name} is missing")
    if file.stat().st_size != entry.get("bytes"):
        raise MapError(f"{path} is damaged: {name} has {file.stat().st_size} bytes, {entry.get('bytes')} were written")
    if verify and _sha256(file) != entry.get("sha256"):
        raise MapError(f"{path} is damaged: {name} is not the file that was written (checksum differs)")
    return file


def _read_json(path: Path, manifest: Mapping[str, Any], name: str) -> Any:
    file = _checked(path, manifest, name, verify=True)
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MapError(f"{path} is damaged: {name}: {error}") from error


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1), encoding="utf-8")


def _inside(name: str) -> PurePosixPath:
    """A path that stays inside the map folder."""
    pure = PurePosixPath(str(name))
    if pure.is_absolute() or ".." in pure.parts or "\\" in str(name) or not pure.parts:
        raise MapError(f"{name!r} is not a path inside a map folder")
    return pure


def _pose_to_json(pose: Pose3) -> dict[str, list[float]]:
    return {
        "translation_m": [round(float(v), 6) for v in pose.translation],
        "rotation_xyzw": [round(float(v), 9) for v in pose.quaternion_xyzw()],
    }


def _pose_from_json(pose: Mapping[str, Any]) -> Pose3:
    rotation = np.array([_finite(v) for v in pose["rotation_xyzw"]])
    if rotation.shape != (4,) or abs(float(np.linalg.norm(rotation)) - 1.0) > 1e-3:
        raise ValueError(f"{pose['rotation_xyzw']!r} is not a unit quaternion")
    return Pose3.from_quaternion(rotation, _vector(pose["translation_m"]))


def _vector(values: Sequence[Any]) -> Any:
    vector = np.array([_finite(v) for v in values], dtype=np.float64)
    if vector.shape != (3,):
        raise ValueError(f"{values!r} is not a vector of three numbers")
    return vector


def _covariance(rows: Sequence[Any]) -> Any:
    matrix = np.array([_vector(row) for row in rows])
    if matrix.shape != (3, 3) or np.abs(matrix - matrix.T).max() > 1e-6 or float(np.linalg.eigvalsh(matrix).min()) < -1e-6:
        raise ValueError(f"{rows!r} is not a covariance of three numbers")
    return matrix


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def _float(value: Any) -> float:
    return UNKNOWN if value is None else _finite(value)


def _plain(value: Any) -> Any:
    """Only what YAML's safe loader gives back."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in value]
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, (float, np.floating)):
        return float(value)
    return int(value) if isinstance(value, np.integer) else str(value)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
