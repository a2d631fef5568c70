"""SDF elements: numbers, poses and plugins as text, files written with indentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from astra.geometry import Pose3
from astra.sim.urdf import rpy

VERSION = "1.9"
Element = ElementTree.Element
Value = str | float | bool | Sequence[float]


def add(parent: Element, tag: str, value: Value | None = None, **attributes: str) -> Element:
    """Append `<tag>` to `parent`."""
    child = ElementTree.SubElement(parent, tag, attributes)
    if value is not None:
        child.text = text(value)
    return child


def text(value: Value) -> str:
    """A value as SDF writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return " ".join(f"{v:.10g}" for v in (value if isinstance(value, Sequence) else (value,)))


def add_pose(parent: Element, pose: Pose3, **attributes: str) -> None:
    """Append `<pose>`: x y z and fixed-axis roll pitch yaw."""
    values = [*(float(v) for v in pose.translation), *rpy(pose)]
    add(parent, "pose", [0.0 if abs(v) < 1e-9 else v for v in values], **attributes)


def add_plugin(parent: Element, system: str, class_name: str, **values: Value) -> Element:
    """Append a system plugin of gz-sim: `system` as in gz-sim-<system>-system."""
    plugin = add(parent, "plugin", filename=f"gz-sim-{system}-system", name=f"gz::sim::systems::{class_name}")
    for tag, value in values.items():
        add(plugin, tag, value)
    return plugin


def root() -> Element:
    """An empty SDF document."""
    return ElementTree.Element("sdf", version=VERSION)


def write(document: Element, path: Path) -> None:
    """Write a document."""
    ElementTree.indent(document)
    path.write_text('<?xml version="1.0"?>\n' + ElementTree.tostring(document, encoding="unicode") + "\n", encoding="utf-8")


def safe_name(name: str) -> str:
    """A name without what SDF, URIs and topics give a meaning to."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "unnamed"


def write_config(folder: Path, name: str, description: str) -> None:
    """Write the model.config of a model's folder."""
    document = ElementTree.Element("model")
    add(document, "name", name)
    add(document, "version", "1.0")
    add(document, "sdf", "model.sdf", version=VERSION)
    add(document, "description", description)
    write(document, folder / "model.config")
