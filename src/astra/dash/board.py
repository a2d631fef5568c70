"""What the page shows: the newest of everything, ready to be sent, written by one thread and read by another."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from typing import Any

Json = Any  # what `json.dumps` takes


class Board:
    """Named pieces of JSON, each with a version, and named pictures as encoded bytes.

    A reader that has seen version v of a piece is sent it again only once it changed, so that a map of a megabyte travels once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0
        self._pieces: dict[str, tuple[int, str]] = {}  # name → version, JSON text
        self._pictures: dict[str, tuple[int, bytes, str]] = {}  # name → version, bytes, content type

    def put(self, name: str, value: Json) -> None:
        """Show a new value; NaN and infinities become null, equal values change nothing."""
        text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
        with self._lock:
            if name not in self._pieces or self._pieces[name][1] != text:
                self._version += 1
                self._pieces[name] = (self._version, text)

    def put_picture(self, name: str, data: bytes, content_type: str) -> None:
        """Show a new picture."""
        with self._lock:
            self._version += 1
            self._pictures[name] = (self._version, data, content_type)

    def picture(self, name: str) -> tuple[bytes, str] | None:
        """The newest picture of that name with its content type."""
        with self._lock:
            found = self._pictures.get(name)
        return None if found is None else (found[1], found[2])

    def since(self, version: int) -> tuple[int, str]:
        """The present version, and one JSON object of every piece that is newer than `version`; pictures come as their versions."""
        with self._lock:
            fresh = [f'{json.dumps(name)}:{text}' for name, (at, text) in self._pieces.items() if at > version]
            pictures = {name: at for name, (at, _, _) in self._pictures.items() if at > version}
            if pictures:
                fresh.append(f'"pictures":{json.dumps(pictures)}')
            return self._version, "{" + ",".join(fresh) + "}"


def _finite(value: Json) -> Json:
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
