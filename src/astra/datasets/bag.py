"""A bag as a stream of messages: rosbag2 (MCAP, SQLite) and ROS 1, read without ROS; whatever is wrong with the file is one error that names it."""

from __future__ import annotations

import struct
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astra.core.errors import BadInputError
from astra.core.plain_text import plain_text
from astra.core.types import seconds

HEADER_TYPE = "std_msgs/msg/Header"
MAX_REASON = 300  # characters of a parser's complaint; some quote the whole file
STORAGE_SUFFIXES = (".mcap", ".db3", ".bag")


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What a bag's index says about one topic; `stamped` messages begin with a header."""

    kind: str
    count: int
    stamped: bool


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as it lies in the bag; `header_ns` is its header's stamp, None for types without a header."""

    topic: str
    received_ns: int
    header_ns: int | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message; `value` has the fields of its ROS type."""

    topic: str
    received_ns: int
    value: Any


class Bag:
    """One recording on disk.

    Args:
        path: the bag's folder, or its .mcap/.db3/.bag file.

    Raises:
        BadInputError: nothing there, not a bag, or a damaged one.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise BadInputError(f"{path} does not exist")
        self.path = path
        self._file = _storage(path)
        self._idle: list[Any] = []
        weakref.finalize(self, _close, self._idle)
        with self._open() as reader:
            self.topics: Mapping[str, TopicFacts] = {
                topic: TopicFacts(info.msgtype, info.msgcount, _is_stamped(reader, info.msgtype)) for topic, info in reader.topics.items() if info.msgtype
            }
            self.duration_s = seconds(max(int(reader.duration), 0))
            self.start_ns = int(reader.start_time) if any(facts.count for facts in self.topics.values()) else 0
            self.custom: Mapping[str, str] = dict(_metadata(reader))

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Decoded messages of some topics in the order in which they were received."""
        with self._open() as reader:
            for connection, received_ns, data in self._read(reader, topics):
                try:
                    value = reader.deserialize(data, connection.msgtype)
                except Exception as error:  # the parser meets arbitrary bytes and raises whatever they cause
                    raise BadInputError(f"{self.path}: a message of {connection.topic} cannot be decoded: {_reason(error)}") from error
                yield Message(connection.topic, received_ns, value)

    def raw(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Undecoded messages of some topics, with their header's stamp, in the order in which they were received."""
        with self._open() as reader:
            is_ros2 = reader.is2
            for connection, received_ns, data in self._read(reader, topics):
                facts = self.topics[connection.topic]
                yield RawMessage(connection.topic, received_ns, self._header_ns(data, is_ros2, connection.topic) if facts.stamped else None, bytes(data))

    def _read(self, reader: Any, topics: Collection[str]) -> Iterator[tuple[Any, int, bytes]]:
        connections = [c for c in reader.connections if c.topic in topics]
        if not connections:
            return
        messages = reader.messages(connections)
        while True:
            try:
                item = next(messages, None)
            except Exception as error:
                raise self._damaged(error) from error
            if item is None:
                return
            yield item

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """A reader of its own for one pass; to open one takes long, so that those no longer in use wait for the next pass."""
        reader = self._idle.pop() if self._idle else self._new_reader()
        try:
            yield reader
        finally:
            self._idle.append(reader)

    def _new_reader(self) -> Any:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        try:
            reader = AnyReader([self._file], default_typestore=get_typestore(Stores.ROS2_JAZZY))
            reader.open()
        except Exception as error:
            raise self._damaged(error) from error
        return reader

    def _damaged(self, error: Exception) -> BadInputError:
        hint = "" if self.path.suffix == ".bag" else "; `mcap recover` or `ros2 bag reindex` may save what is whole"
        return BadInputError(f"{self.path} is not a readable bag (damaged, truncated or foreign): {_reason(error)}{hint}")

    def _header_ns(self, data: bytes, is_ros2: bool, topic: str) -> int:
        # CDR: four bytes of encapsulation (the second tells the byte order), then sec and nanosec. ROS 1: seq, then secs and nsecs.
        order = ">" if is_ros2 and len(data) > 1 and data[1] == 0 else "<"
        try:
            sec, nanosec = struct.unpack_from(f"{order}iI", data, 4)
        except struct.error as error:
            raise BadInputError(f"{self.path}: a message of {topic} is too short to hold its header") from error
        return int(sec) * 10**9 + int(nanosec)


def _storage(path: Path) -> Path:
    """What to open: a folder whose recorder died before it wrote metadata.yaml is as good as the one file in it."""
    if path.is_file() or (path / "metadata.yaml").is_file():
        return path
    files = sorted(p for p in path.iterdir() if p.suffix in STORAGE_SUFFIXES)
    if len(files) != 1:
        raise BadInputError(f"{path} is not a readable bag: no metadata.yaml, and {len(files)} files of {', '.join(STORAGE_SUFFIXES)}")
    return files[0]


def _close(readers: list[Any]) -> None:
    for reader in readers:
        reader.close()


def _is_stamped(reader: Any, kind: str) -> bool:
    fields = reader.typestore.fielddefs.get(kind, (None, ()))[1]
    return bool(fields) and fields[0][1][1] == HEADER_TYPE


def _metadata(reader: Any) -> Mapping[str, str]:
    storage = getattr(reader.readers[0], "storage", None)  # ROS 1 has none
    custom = getattr(getattr(storage, "metadata", None), "custom", None)
    return custom if isinstance(custom, Mapping) else {}


def _reason(error: Exception) -> str:
    return plain_text(str(error), MAX_REASON) or type(error).__name__
