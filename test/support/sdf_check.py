"""SDF checked twice where Debian's libsdformat is installed: by the library itself, and tag by tag against its description files.

The library copies elements that it does not know without a word; the description files say which there are.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

LIBRARIES = sorted(Path("/usr/lib").glob("*/libsdformat12.so.12"))
DESCRIPTIONS = Path("/usr/share/sdformat12/1.9")
# What Harmonic reads beyond the description files of Debian's library.
NEWER = {("sensor", "gz_frame_id"), ("lidar", "visibility_mask")}
needs_sdformat = pytest.mark.skipif(not LIBRARIES or not DESCRIPTIONS.is_dir(), reason="Debian's libsdformat-dev and sdformat-sdf are not installed")


def accepted(path: Path, models: Path) -> bool:
    """Whether libsdformat accepts the file; model://NAME is looked for in the folder `models`."""
    library = ctypes.CDLL(str(LIBRARIES[0]))
    before = Path.cwd()
    os.chdir(models)  # where the library looks first
    try:
        return bool(library.cmdCheck(str(path.resolve()).encode()) == 0)
    finally:
        os.chdir(before)


def unknown(path: Path) -> list[str]:
    """Tags and attributes of the file that SDF 1.9 does not have, and required attributes that are missing."""
    document = ElementTree.parse(path).getroot()
    assert document.tag == "sdf"
    assert document.get("version") == "1.9"
    return list(_differences(document, _description("root"), "sdf"))


def _differences(element: ElementTree.Element, description: ElementTree.Element, where: str) -> Iterator[str]:
    attributes = {a.get("name", ""): a.get("required") == "1" for a in description.findall("attribute")}
    yield from (f"{where}@{name}" for name in element.attrib if name not in attributes)
    yield from (f"{where}@{name} is missing" for name, required in attributes.items() if required and name not in element.attrib)
    children = _children(description)
    for child in element:
        if child.tag in children:
            if child.tag != "plugin":  # its content is its own
                yield from _differences(child, children[child.tag], f"{where}/{child.tag}")
        elif (element.tag, child.tag) not in NEWER:
            yield f"{where}/{child.tag}"
    for name, entry in children.items():
        if entry.get("required") == "1" and element.find(name) is None and name not in OPTIONAL_IN_TRUTH:
            yield f"{where}/{name} is missing"


OPTIONAL_IN_TRUTH = ("magnetic_field", "atmosphere")  # have defaults, whatever the files say


def _children(description: ElementTree.Element) -> dict[str, ElementTree.Element]:
    children = {e.get("name", ""): e for e in description.findall("element") if e.get("name")}
    for include in description.findall("include"):
        if not (DESCRIPTIONS / include.get("filename", "")).is_file():
            continue  # Debian's files name one that they do not have: navsat
        inner = _description(include.get("filename", "").removesuffix(".sdf"))
        inner.set("required", include.get("required", "0"))
        children[inner.get("name", "")] = inner
    return children


@cache
def _parsed(name: str) -> str:
    return (DESCRIPTIONS / f"{name}.sdf").read_text(encoding="utf-8")


def _description(name: str) -> ElementTree.Element:
    return ElementTree.fromstring(_parsed(name))
