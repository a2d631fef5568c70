"""Records every visible topic to MCAP, images at a reduced rate; the bag is valid whenever the node is told to end."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astra.core.config import require
from astra.core.errors import ConfigError
from astra.core.types import nanoseconds
from astra.ros import node, params
from astra.ros.bag import BagWriter
from astra.ros.tap import DISCOVERY_PERIOD_S, DRAIN_PERIOD_S, TopicTap

AGAIN_S = 5.0  # between looks whether the disk takes something again


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """Parameters of the recorder."""

    out: str = field(default="", metadata={"help": "folder of the bag; if it exists, as after a restart, the recording goes into the same name with a number"})
    image_rate_hz: float = field(default=2.5, metadata={"help": "images kept per second and topic; 0 keeps all [Hz]"})
    exclude: tuple[str, ...] = field(default=("/rosout", "/parameter_events"), metadata={"help": "topics that are not recorded"})

    def __post_init__(self) -> None:
        require(self.image_rate_hz >= 0.0, "image_rate_hz", self.image_rate_hz, "≥ 0")


class Recorder(node.AstraLifecycleNode):
    """Takes raw bytes from all topics fifty times a second; nothing is decoded on the way to the file."""

    def __init__(self) -> None:
        super().__init__("astra_recorder")
        self._bag: BagWriter | None = None
        self._periodic: list[Any] = []

    def on_setup(self) -> None:
        """Open the bag."""
        self._config = params.declare_config(self, RecorderConfig)
        if not self._config.out:
            raise ConfigError("parameter out is empty: give the folder of the bag")
        self._bag = BagWriter(free_name(Path(self._config.out)))
        self._tap = TopicTap(self, self._config.exclude, self._config.image_rate_hz, self._welcome, self._write)
        self._count = self._lost = self._again_ns = 0
        self._began = False
        self._periodic = [
            self.create_timer(DISCOVERY_PERIOD_S, self._discover, clock=self.steady),
            self.create_timer(DRAIN_PERIOD_S, self._drain, clock=self.steady),
        ]

    def on_start(self) -> None:
        """Begin at once with what is there."""
        self._began = True
        self._discover()

    def on_stop(self) -> None:
        """Take what has arrived, and pause."""
        self._drain()
        self._began = False

    def on_teardown(self) -> None:
        """Close the bag; from then on it is complete."""
        if not self._periodic:
            return
        for timer in self._periodic:
            self.destroy_timer(timer)
        self._periodic = []
        self._tap.close()
        if self._bag is not None:
            self._bag.close()
            self._bag = None

    def _discover(self) -> None:
        if self._bag is None or (not self.active and self._count == 0 and self._tap.topics):
            return
        self._tap.discover()
        self.report(node.OK, "recording", f"{len(self._tap.topics)} topics", messages=self._count, lost=self._lost)

    def _welcome(self, topic: str, kind: str) -> bool:
        if self._bag is not None and self._bag.add_topic(topic, kind):
            return True
        self.get_logger().warning(f"{topic} is not recorded: the definition of {kind} is not installed")
        return False

    def _drain(self) -> None:
        if self._began and (self._bag is not None or self._open_again()):
            self._tap.drain()

    def _write(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """A disk that takes nothing more costs the recording, not the node: what is on it stays, and a new bag is tried later."""
        if self._bag is None:
            self._lost += 1
            return
        try:
            self._bag.write(topic, stamp_ns, cdr)
            self._count += 1
        except OSError as error:
            bag, self._bag = self._bag, None
            with contextlib.suppress(OSError, ValueError):
                bag.close()
            self._refused(error)

    def _open_again(self) -> bool:
        """Begin a new bag once the disk has had time to become free."""
        if self.steady_ns() < self._again_ns:
            return False
        try:
            self._bag = BagWriter(free_name(Path(self._config.out)))
            for topic, tapped in self._tap.topics.items():
                if tapped is not None:
                    self._bag.add_topic(topic, tapped.kind)
        except OSError as error:
            self._bag = None
            self._refused(error)
        return self._bag is not None

    def _refused(self, error: OSError) -> None:
        self._lost, self._again_ns = self._lost + 1, self.steady_ns() + nanoseconds(AGAIN_S)
        self.report(node.ERROR, "recording", f"the disk refuses: {error.strerror or error}", lost=self._lost)


def free_name(path: Path) -> Path:
    """The path, or the first of path_2, path_3, … that does not exist."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}_{number}")
    return free


def main() -> int:
    """Run the node."""
    return node.run(Recorder)
