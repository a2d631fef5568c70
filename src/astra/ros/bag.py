"""Write serialized messages of any known type to a rosbag2 (MCAP); definitions come from the installed packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from astra.core.errors import BadInputError


class BagWriter:
    """One bag; `close` makes it valid.

    Args:
        path: the bag's folder, which must not exist.
    """

    def __init__(self, path: Path) -> None:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        if path.exists():
            raise BadInputError(f"{path} exists already; a recording is never overwritten")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._connections: dict[str, Any] = {}
        self._newest_ns = 0

    def add_topic(self, topic: str, kind: str) -> bool:
        """Prepare a topic of type `pkg/msg/Name`; False if its definition is not installed."""
        if topic in self._connections:
            return True
        if not self._know(kind):
            return False
        self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._store)
        return True

    def write(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """Write one serialized message; stamps that step back are held at the newest one, so that readers stay in order."""
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self._writer.write(self._connections[topic], self._newest_ns, cdr)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()

    def _know(self, kind: str) -> bool:
        """Register the whole package of a type that the store lacks, and what that package depends on."""
        from rosbags.typesys import get_types_from_msg

        if kind in self._store.types:
            return True
        package = kind.split("/")[0]
        try:
            folder = Path(get_package_share_directory(package)) / "msg"
        except (PackageNotFoundError, ValueError):
            return False
        found: dict[str, Any] = {}
        for file in sorted(folder.glob("*.msg")):
            found.update(get_types_from_msg(file.read_text(encoding="utf-8"), f"{package}/msg/{file.stem}"))
        self._store.register({name: definition for name, definition in found.items() if name not in self._store.types})
        return kind in self._store.types
