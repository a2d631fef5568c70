"""Keeps the last minute of every topic in memory, and writes it down when something goes wrong or somebody asks.

What is written: `OUT/TIME_REASON/`, a bag as any other with `snapshot.json` in it. The folder's size is bounded: the oldest snapshots go first.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_srvs.srv import Trigger

from astra.core.config import require
from astra.core.errors import ConfigError
from astra.core.types import seconds
from astra.ros import node, params, qos
from astra.ros.bag import BagWriter
from astra.ros.deferred import SerialWorker
from astra.ros.ring import Ring, Row
from astra.ros.tap import DISCOVERY_PERIOD_S, DRAIN_PERIOD_S, TopicTap
from astra.ros.watch import own_name

MARK = "snapshot.json"
TELLING = {"mission": ("BLOCKED", "LOST", "SENSORS_STALE", "CONTROLLER_FAILED", "UNKNOWN")}  # diagnostics whose `code` is a reason


@dataclass(frozen=True, slots=True)
class BlackBoxConfig:
    """Parameters of astra_black_box."""

    out: str = field(default="", metadata={"help": "folder that receives a folder for each snapshot"})
    seconds: float = field(default=60.0, metadata={"help": "how much is remembered [s]"})
    after: float = field(default=5.0, metadata={"help": "how long it goes on remembering before it writes [s]"})
    pause: float = field(default=30.0, metadata={"help": "least time between two snapshots that nobody asked for [s]"})
    max_memory_mb: float = field(default=200.0, metadata={"help": "of what is remembered [MB]"})
    max_disk_mb: float = field(default=1000.0, metadata={"help": "of all snapshots together; the oldest are removed [MB]"})
    image_rate_hz: float = field(default=1.0, metadata={"help": "images kept per second and topic; 0 keeps all [Hz]"})
    exclude: tuple[str, ...] = field(default=("/parameter_events",), metadata={"help": "topics that are not kept"})

    def __post_init__(self) -> None:
        require(1.0 <= self.seconds <= 3600.0, "seconds", self.seconds, "between 1 and 3600 s")
        require(0.0 <= self.after <= 60.0, "after", self.after, "between 0 and 60 s")
        require(0.0 <= self.pause <= 86400.0, "pause", self.pause, "between 0 and 86400 s")
        for name in ("max_memory_mb", "max_disk_mb"):
            require(1.0 <= getattr(self, name) <= 1e6, name, getattr(self, name), "between 1 and 1e6 MB")
        require(0.0 <= self.image_rate_hz <= 100.0, "image_rate_hz", self.image_rate_hz, "between 0 and 100 Hz")


class AstraBlackBox(node.AstraLifecycleNode):
    """Listens, remembers, and writes on a thread of its own."""

    def __init__(self) -> None:
        super().__init__("astra_black_box")
        self._made: list[Any] = []

    def on_setup(self) -> None:
        """Begin to remember."""
        self._config = config = params.declare_config(self, BlackBoxConfig)
        if not config.out:
            raise ConfigError("parameter out is empty: give the folder for snapshots")
        self._ring = Ring(config.seconds, int(config.max_memory_mb * 1e6))
        self._due: tuple[int, str] | None = None  # when to write, and why
        self._written_ns: int | None = None
        self._bad: set[str] = set()
        self._count, self._last, self._refusal = 0, "", ""
        self._tap = TopicTap(self, config.exclude, config.image_rate_hz, lambda topic, kind: True, self._keep)
        self._worker = SerialWorker(self, capacity=2)
        self._made = [
            self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.RELIABLE),
            self.create_service(Trigger, "astra/snapshot", self._on_request),
        ]
        self._clocks = [
            self.create_timer(DISCOVERY_PERIOD_S, self._discover, clock=self.steady),
            self.create_timer(DRAIN_PERIOD_S, self._drain, clock=self.steady),
        ]

    def on_start(self) -> None:
        """What is wrong while everything starts is no reason."""
        self._written_ns = self.steady_ns()

    def on_teardown(self) -> None:
        """Write what is due, and forget."""
        if not self._made:
            return
        for timer in self._clocks:
            self.destroy_timer(timer)
        self.destroy_subscription(self._made[0])
        self.destroy_service(self._made[1])
        self._made = []
        if self._due is not None:
            write_snapshot(list(self._ring.rows()), self._kinds(), Path(self._config.out), self._due[1], self._config.max_disk_mb)
        self._worker.close(30.0)
        self._tap.close()

    def _keep(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        tapped = self._tap.topics[topic]
        self._ring.add(topic, stamp_ns, cdr, latched=tapped is not None and tapped.latched)

    def _discover(self) -> None:
        if self.active:
            self._tap.discover()
        level, text = (node.ERROR, self._refusal) if self._refusal else (node.OK, "remembering")
        self.report(level, "black box", text, topics=len(self._tap.topics), messages=len(self._ring), megabytes=f"{self._ring.bytes / 1e6:.1f}",
                    dropped=self._ring.dropped, snapshots=self._count, last=self._last)  # fmt: skip

    def _drain(self) -> None:
        if not self.active:
            return
        self._tap.drain()
        if self._due is not None and self.steady_ns() >= self._due[0]:
            reason, self._due = self._due[1], None
            self._write(reason)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """What turns bad is a reason; what stays bad is none."""
        for status in message.status:
            bad = is_reason(status) and own_name(status.hardware_id, self.get_namespace()) not in (None, self.get_name())
            if bad and status.name not in self._bad:
                self._ask(f"{status.name}: {status.message}")
            (self._bad.add if bad else self._bad.discard)(status.name)

    def _ask(self, reason: str) -> None:
        now = self.steady_ns()
        if self._due is None and (self._written_ns is None or seconds(now - self._written_ns) >= self._config.pause):
            self._due = (now + round(self._config.after * 1e9), reason)
            self.get_logger().warning(f"a snapshot will be written: {reason}")

    def _on_request(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """/astra/snapshot: write now."""
        self._due = None
        response.success = self._write("asked for")
        response.message = f"being written to {self._config.out}" if response.success else "too many snapshots are being written already"
        return response

    def _write(self, reason: str) -> bool:
        rows, kinds, config = list(self._ring.rows()), self._kinds(), self._config
        self._written_ns = self.steady_ns()

        def done(path: Path) -> None:
            self._count, self._last, self._refusal = self._count + 1, path.name, ""
            self.get_logger().info(f"snapshot {path}")

        def failed(error: Exception) -> None:
            self._refusal = f"a snapshot could not be written: {error}"

        return self._worker.submit(lambda: write_snapshot(rows, kinds, Path(config.out), reason, config.max_disk_mb), done, failed)

    def _kinds(self) -> dict[str, str]:
        return {name: topic.kind for name, topic in self._tap.topics.items() if topic is not None}


def is_reason(status: Any) -> bool:
    """Whether a diagnostic says that something went wrong: every ERROR, and missions that ended badly."""
    what = status.name.partition(": ")[2]
    if what in TELLING and status.level == DiagnosticStatus.WARN:
        return any(value.key == "code" and value.value in TELLING[what] for value in status.values)
    return bool(status.level == DiagnosticStatus.ERROR) or (what == "localization" and status.level != DiagnosticStatus.OK and "lost" in status.message)


def write_snapshot(rows: list[Row], kinds: dict[str, str], out: Path, reason: str, max_disk_mb: float) -> Path:
    """Write a bag and make room for the next; a folder that is not whole keeps its dot.

    Raises:
        OSError: the disk refuses.
    """
    out.mkdir(parents=True, exist_ok=True)
    words = re.sub(r"[^a-z0-9]+", "-", reason.lower()).strip("-")[:40]
    path = out / f"{time.strftime('%Y%m%d-%H%M%S')}_{words}"
    number = 2
    while path.exists():
        path, number = path.with_name(f"{path.name}_{number}"), number + 1
    scratch = path.with_name(f".{path.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        bag = BagWriter(scratch)
        known = {topic for topic, kind in kinds.items() if bag.add_topic(topic, kind)}  # not those whose definition is not installed
        for topic, stamp_ns, cdr in rows:
            if topic in known:
                bag.write(topic, stamp_ns, cdr)
        bag.close()
        (scratch / MARK).write_text(json.dumps({"reason": reason, "messages": len(rows)}) + "\n", encoding="utf-8")
        scratch.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    make_room(out, max_disk_mb, path)
    return path


def make_room(out: Path, max_disk_mb: float, spare: Path) -> None:
    """Remove the oldest snapshots until what is left fits; nothing that is not a snapshot, and never the one just written."""
    found = sorted(mark.parent for mark in out.glob(f"*/{MARK}"))
    sizes = {path: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) for path in found}
    for path in found:
        if sum(sizes.values()) <= max_disk_mb * 1e6:
            return
        if path != spare:
            shutil.rmtree(path)
            del sizes[path]


def main() -> int:
    """Run the node."""
    return node.run(AstraBlackBox)
