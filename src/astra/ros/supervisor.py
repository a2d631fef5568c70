"""Start the stack as processes, keep it alive within bounds, and end it in order; for machines without `ros2 launch`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
import yaml

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.ros.environment import PARENT_VARIABLE, activate
from astra.ros.stack import NodeSpec

LOG = logging.getLogger(__name__)
POLL_S = 0.1
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class SupervisorConfig:
    """Bounds of what the supervisor does on its own."""

    max_restarts: int = 3  # per node in a row; after that it stays down and the stack is `failed`
    forgive_s: float = 120.0  # a node that has lived for so long begins a new row
    backoff_s: float = 0.1  # before the first restart; four times as long before each that follows
    interrupt_s: float = 6.0  # patience after SIGINT, then after SIGTERM, before SIGKILL
    terminate_s: float = 3.0
    stagger_s: float = 0.5  # a node may end before the next one is asked to: consumers before producers, the recorder last

    def __post_init__(self) -> None:
        require(self.max_restarts >= 0, "max_restarts", self.max_restarts, "≥ 0")
        for name in ("forgive_s", "backoff_s", "interrupt_s", "terminate_s", "stagger_s"):
            require(getattr(self, name) >= 0.0, name, getattr(self, name), "≥ 0")


class _Process:
    """One node's process, and what is remembered of those it replaced."""

    def __init__(self, spec: NodeSpec) -> None:
        self.spec = spec
        self.popen: subprocess.Popen[bytes] | None = None
        self.restarts = 0  # in all
        self.row = 0  # since it last lived for long
        self.began_s = 0.0
        self.restart_at: float | None = None
        self.given_up = False
        self.refused = False
        self.cpu_before_s = 0.0  # of processes that have ended
        self.cpu_s = 0.0


class Supervisor:
    """A context manager around the running stack.

    Args:
        nodes: what to run, from `stack.describe`.
        log_dir: one log file per node.
        namespace: ROS namespace of all nodes.
        config: bounds.
        say: receives one line per event.
    """

    def __init__(
        self,
        nodes: tuple[NodeSpec, ...],
        log_dir: Path,
        *,
        namespace: str = "",
        config: SupervisorConfig | None = None,
        say: Callable[[str], None] = LOG.info,
    ) -> None:
        self._processes = {spec.name: _Process(spec) for spec in nodes}
        self._log_dir, self._namespace, self._say = log_dir, namespace, say
        self._config = config or SupervisorConfig()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes' names in start order."""
        return tuple(self._processes)

    @property
    def failed(self) -> tuple[str, ...]:
        """Nodes that died more often than they may."""
        return tuple(name for name, process in self._processes.items() if process.given_up)

    @property
    def refused(self) -> tuple[str, ...]:
        """Those of them that refused their parameters or files; starting them again would not help."""
        return tuple(name for name, process in self._processes.items() if process.refused)

    @property
    def restarts(self) -> int:
        """Restarts of all nodes so far."""
        return sum(process.restarts for process in self._processes.values())

    def pid(self, name: str) -> int | None:
        """The process id of a running node."""
        popen = self._processes[name].popen
        return popen.pid if popen is not None and popen.poll() is None else None

    def log(self, name: str) -> Path:
        """The node's log file."""
        return self._log_dir / f"{name}.log"

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time used per node since the start, restarts included [s]."""
        return {name: process.cpu_before_s + process.cpu_s for name, process in self._processes.items()}

    def start(self) -> None:
        """Start every node, and the thread that watches them."""
        activate()
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for process in self._processes.values():
            self._spawn(process)
        self._thread = threading.Thread(target=self._watch, name="astra-supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the nodes, last started first: SIGINT, then SIGTERM, then SIGKILL for those that do not listen."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._sample_cpu()
        running = [p.popen for p in reversed(self._processes.values()) if p.popen is not None and p.popen.poll() is None]
        config = self._config
        for signum, patience_s in ((signal.SIGINT, config.interrupt_s), (signal.SIGTERM, config.terminate_s), (signal.SIGKILL, 5.0)):
            for popen in running:
                with contextlib.suppress(ProcessLookupError):
                    popen.send_signal(signum)
                if signum is signal.SIGINT:
                    _wait(popen, config.stagger_s)
            deadline = time.monotonic() + patience_s
            for popen in running:
                _wait(popen, deadline - time.monotonic())
            running = [popen for popen in running if popen.poll() is None]
            if not running:
                break
            self._say(f"{len(running)} nodes did not end on {signum.name}")
        remove_stale_shared_memory()

    def command(self, spec: NodeSpec) -> list[str]:
        """The command line of a node; parameters go through a file, so that their types survive."""
        overrides = self._log_dir / f"{spec.name}.params.yaml"
        overrides.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(spec.parameters)}}), encoding="utf-8")
        command = [sys.executable, "-c", f"from astra.cli.main import node_main; node_main({spec.name!r})", "--ros-args"]
        if self._namespace:
            command += ["-r", f"__ns:=/{self._namespace.strip('/')}"]
        if spec.config is not None:
            command += ["--params-file", str(spec.config)]
        return [*command, "--params-file", str(overrides)]

    def _spawn(self, process: _Process) -> None:
        process.began_s = time.monotonic()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", PARENT_VARIABLE: str(os.getpid())}
        with self.log(process.spec.name).open("ab") as log:
            process.popen = subprocess.Popen(
                self.command(process.spec), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on, in order
            )  # fmt: skip

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            self._sample_cpu()
            for process in self._processes.values():
                self._revive(process)

    def _revive(self, process: _Process) -> None:
        """Restart a dead node after its backoff, or give it up."""
        if process.given_up or process.popen is None or process.popen.poll() is None:
            return
        name, now = process.spec.name, time.monotonic()
        if process.restart_at is None:
            process.cpu_before_s, process.cpu_s = process.cpu_before_s + process.cpu_s, 0.0
            if process.popen.returncode == BadInputError.exit_code:
                process.given_up = process.refused = True
                self._say(f"{name} refuses to start: {last_line(self.log(name))}")
                return
            if now - process.began_s >= self._config.forgive_s:
                process.row = 0
            if process.row >= self._config.max_restarts:
                process.given_up = True
                self._say(f"{name} died (exit code {process.popen.returncode}) and stays down after {process.row} restarts; see {self.log(name)}")
                return
            process.restart_at = now + self._config.backoff_s * 4**process.row
            self._say(f"{name} died (exit code {process.popen.returncode}); restarting")
        if now >= process.restart_at:
            process.restart_at = None
            process.restarts, process.row = process.restarts + 1, process.row + 1
            self._spawn(process)

    def _sample_cpu(self) -> None:
        for process in self._processes.values():
            if process.popen is not None and process.popen.poll() is None:
                with contextlib.suppress(psutil.Error):
                    times = psutil.Process(process.popen.pid).cpu_times()
                    process.cpu_s = times.user + times.system


def last_line(path: Path) -> str:
    """The last line of a log file that says anything."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"see {path}"


def _wait(popen: subprocess.Popen[bytes], limit_s: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        popen.wait(max(limit_s, 0.01))


def remove_stale_shared_memory() -> int:
    """Remove Fast DDS segments in /dev/shm that no process maps any more (killed nodes leave them); returns how many."""
    if not SHARED_MEMORY.is_dir():
        return 0
    candidates = {p.name: p for pattern in ("fastrtps_*", "fastdds_*", "sem.fastrtps_*", "sem.fastdds_*") for p in SHARED_MEMORY.glob(pattern)}
    if not candidates:
        return 0
    used: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            used |= {line.rsplit("/", 1)[-1].strip() for line in maps.read_text(errors="ignore").splitlines() if "/dev/shm/" in line}
    removed = 0
    for name, path in candidates.items():
        # A port's lock and semaphores belong to the segment of the same name; young files may be about to be mapped.
        stem = name.removeprefix("sem.").removesuffix("_el").removesuffix("_mutex")
        with contextlib.suppress(OSError):
            if not any(stem in other for other in used) and time.time() - path.stat().st_mtime > 5.0:
                path.unlink()
                removed += 1
    return removed
