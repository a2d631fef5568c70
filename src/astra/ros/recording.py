"""A short recording of the running graph, for whoever wants to look at it as at any other drive."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from astra.core.errors import AstraError
from astra.ros.stack import NodeSpec
from astra.ros.supervisor import Supervisor, SupervisorConfig, last_line

RECORDER = "astra_recorder"
START_S = 15.0  # until the recorder has opened its bag


@contextlib.contextmanager
def recorded(duration_s: float, *, image_rate_hz: float = 0.0) -> Iterator[Path]:
    """Record every visible topic for `duration_s` seconds into a folder that is gone afterwards; `image_rate_hz` 0 keeps every image.

    Raises:
        AstraError: the recorder does not start.
    """
    with tempfile.TemporaryDirectory(prefix="astra-recording-") as folder:
        bag = Path(folder) / "drive"
        spec = NodeSpec(RECORDER, {"out": str(bag), "image_rate_hz": image_rate_hz, "autostart": True})
        with Supervisor((spec,), Path(folder) / "logs", config=SupervisorConfig(max_restarts=0)) as supervisor:
            deadline = time.monotonic() + START_S
            while not any(bag.glob("*.mcap*")):
                if supervisor.failed or time.monotonic() > deadline:
                    raise AstraError(f"the recorder does not start: {last_line(supervisor.log(RECORDER))}")
                time.sleep(0.1)
            time.sleep(duration_s)
        yield bag
