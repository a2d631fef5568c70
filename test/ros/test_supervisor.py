import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from astra.ros.stack import NodeSpec
from astra.ros.supervisor import Supervisor, SupervisorConfig, remove_stale_shared_memory

pytestmark = pytest.mark.ros


def wait(condition: Callable[[], bool], limit_s: float = 20.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def recorder(tmp_path: Path) -> tuple[NodeSpec, ...]:
    return (NodeSpec("astra_recorder", {"out": str(tmp_path / "bag"), "autostart": False}),)


def test_a_killed_node_comes_back_within_five_seconds_and_too_many_deaths_are_final(tmp_path: Path, ros_domain: int) -> None:
    said: list[str] = []
    with Supervisor(recorder(tmp_path), tmp_path / "logs", config=SupervisorConfig(max_restarts=1, backoff_s=0.1), say=said.append) as stack:
        assert wait(lambda: stack.pid("astra_recorder") is not None)
        first = stack.pid("astra_recorder")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert wait(lambda: stack.pid("astra_recorder") not in (None, first), 5.0)
        assert stack.restarts == 1
        assert stack.failed == ()
        second = stack.pid("astra_recorder")
        assert second is not None
        os.kill(second, signal.SIGKILL)
        assert wait(lambda: stack.failed == ("astra_recorder",), 5.0)
    assert any("restarting" in line for line in said)
    assert any("stays down" in line for line in said)


def test_stopping_ends_every_process_in_order_and_counts_cpu(tmp_path: Path, ros_domain: int) -> None:
    said: list[str] = []
    stack = Supervisor(recorder(tmp_path), tmp_path / "logs", say=said.append)
    stack.start()
    assert wait(lambda: "rclpy" in stack.log("astra_recorder").read_text() or stack.cpu_seconds()["astra_recorder"] > 0.3)
    pid = stack.pid("astra_recorder")
    assert pid is not None
    stack.stop()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert stack.cpu_seconds()["astra_recorder"] > 0.0
    assert not any("did not end" in line for line in said)


def test_only_unmapped_segments_are_removed() -> None:
    stale = Path("/dev/shm/fastrtps_astra_test_stale")
    stale.write_bytes(b"x")
    os.utime(stale, (time.time() - 60, time.time() - 60))
    fresh = Path("/dev/shm/fastrtps_astra_test_fresh")
    fresh.write_bytes(b"x")
    try:
        assert remove_stale_shared_memory() >= 1
        assert not stale.exists()
        assert fresh.exists()
    finally:
        fresh.unlink(missing_ok=True)
        stale.unlink(missing_ok=True)


def test_a_node_that_refuses_its_parameters_is_not_restarted_and_its_word_is_passed_on(tmp_path: Path, ros_domain: int) -> None:
    said: list[str] = []
    nodes = (NodeSpec("astra_navigator", {"tick_hz": 1000.0}),)
    with Supervisor(nodes, tmp_path / "logs", say=said.append) as stack:
        assert wait(lambda: stack.failed == ("astra_navigator",))
        assert stack.refused == ("astra_navigator",)
        assert stack.restarts == 0
    (line,) = said
    assert "tick_hz = 1000.0 is out of bounds" in line


def test_nodes_do_not_outlive_a_supervisor_that_was_killed(tmp_path: Path, ros_domain: int) -> None:
    code = f"""
from pathlib import Path
from astra.ros.stack import NodeSpec
from astra.ros.supervisor import Supervisor
import subprocess
import sys
import threading
import time
stack = Supervisor((NodeSpec("astra_navigator"),), Path({str(tmp_path)!r}))
stack.start()
print(stack.pid("astra_navigator"), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        node = int(supervisor.stdout.readline())
        assert wait(lambda: "active" in (tmp_path / "astra_navigator.log").read_text())
        supervisor.kill()
    assert wait(lambda: not psutil.pid_exists(node) or psutil.Process(node).status() == psutil.STATUS_ZOMBIE, 10.0)


def test_nodes_end_one_after_the_other_last_started_first(tmp_path: Path, ros_domain: int) -> None:
    nodes = tuple(NodeSpec(name) for name in ("astra_odometry", "astra_controller", "astra_navigator"))
    stack = Supervisor(nodes, tmp_path / "logs")
    stack.start()
    assert wait(lambda: all("active" in stack.log(name).read_text() for name in stack.names), 40.0)
    pids = [stack.pid(name) for name in stack.names]
    ended: dict[int, float] = {}
    thread = threading.Thread(target=stack.stop)
    thread.start()
    while thread.is_alive() or len(ended) < 3:
        for pid in pids:
            assert pid is not None
            if pid not in ended and (not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE):
                ended[pid] = time.monotonic()
        time.sleep(0.005)
    thread.join()
    assert list(ended) == pids[::-1]
