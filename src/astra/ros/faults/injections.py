"""How each fault is brought about in the running stack. An injection is a context: broken inside, well again outside."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.ros.faults.bench import SIMULATOR, StackBench
from astra.ros.faults.spoil import with_every_float

Injection = Callable[..., contextlib.AbstractContextManager["Notes"]]


class Notes:
    """What an injection found wrong by itself, and a remark for the record."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.note = ""
        self.began_s: float | None = None  # since when the fault was in force, if not at once
        self.killed: dict[str, tuple[int, float]] = {}  # node → its old process, and when it was killed


@contextlib.contextmanager
def sensors(bench: StackBench, *what: str) -> Iterator[Notes]:
    """`stream:way[:value]`, several for one stream apply in order; or `wheels:blocked`, `wheels:free`."""
    order: dict[str, Any] = {"spoil": {}}
    for text in what:
        stream, way, *value = text.split(":")
        if stream == "wheels":
            order["wheels"] = way
        else:
            order["spoil"].setdefault(stream, []).append([way, *map(float, value)])
    notes = Notes()
    notes.began_s = bench.order(order)
    try:
        yield notes
    finally:
        bench.order({})


@contextlib.contextmanager
def kill(bench: StackBench, *names: str) -> Iterator[Notes]:
    """SIGKILL to nodes' processes, at once; the supervisor brings them back."""
    notes = Notes()
    for name in names or tuple(n for n in bench.supervisor.names if n != SIMULATOR):
        pid = bench.supervisor.pid(name)
        if pid is None:
            raise BadInputError(f"{name} does not run")
        notes.killed[name] = (pid, bench.now_s())
        os.kill(pid, signal.SIGKILL)
    yield notes


@contextlib.contextmanager
def hang(bench: StackBench, *names: str) -> Iterator[Notes]:
    """SIGSTOP: the process is there and says nothing."""
    pids = [pid for name in names if (pid := bench.supervisor.pid(name)) is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield Notes()
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def starve(bench: StackBench) -> Iterator[Notes]:
    """As many busy processes as there are cores."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield Notes()
    finally:
        for process in busy:
            process.kill()
            process.wait()


@contextlib.contextmanager
def full_disk(bench: StackBench) -> Iterator[Notes]:
    """No process of the stack can write another byte to any file: logs, recordings, everything."""
    names = [name for name in bench.supervisor.names if name != SIMULATOR]
    processes = [psutil.Process(pid) for name in names if (pid := bench.supervisor.pid(name)) is not None]
    for process in processes:
        process.rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield Notes()
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextlib.contextmanager
def new_map(bench: StackBench, kind: str) -> Iterator[Notes]:
    """/astra/load_map during a mission: "same" is a copy of the map under way, "damaged" one with a file cut short, "foreign" lies elsewhere."""
    from astra_nav.srv import LoadMap

    notes, current = Notes(), Path(str(next(n for n in bench.nodes if n.name == "astra_global").parameters["map"]))
    path = current.parent / f"{current.name}_{kind}" if kind != "foreign" else Path("/nowhere/else")
    if kind != "foreign":
        shutil.copytree(current, path, dirs_exist_ok=True)
    if kind == "damaged":
        graph = path / "graph.json"
        graph.write_bytes(graph.read_bytes()[:1000])
    client = bench.node.create_client(LoadMap, "/astra/load_map")
    try:
        answer = client.call_async(LoadMap.Request(path=str(path)))
        if not bench.until(answer.done, 20.0):
            notes.complaints.append("load_map gave no answer within 20 s")
        elif (answer.result().error_code == 0) != (kind == "same"):
            notes.complaints.append(f"load_map answered {answer.result().error_code}: {answer.result().error_msg}")
        else:
            notes.note = f"load_map: {answer.result().error_code} {answer.result().error_msg}"
        yield notes
    finally:
        bench.node.destroy_client(client)
        if kind == "damaged":
            shutil.rmtree(path)


@contextlib.contextmanager
def nan_messages(bench: StackBench, *topics: str) -> Iterator[Notes]:
    """Every topic that a node hears, from a stranger whose every number is NaN, five times a second beside the true ones."""
    import importlib

    from astra.ros import qos

    named = {name: kinds[0] for name, kinds in bench.node.get_topic_names_and_types()}
    publishers = []
    for topic in topics:
        if topic not in named:
            raise BadInputError(f"nobody hears {topic}")
        package, _, kind = named[topic].split("/")
        made = getattr(importlib.import_module(f"{package}.msg"), kind)
        publishers.append((bench.node.create_publisher(made, topic, qos.RELIABLE), made))

    def publish() -> None:
        for publisher, made in publishers:
            publisher.publish(_every_float_nan(made, bench.node.get_clock().now().to_msg()))

    timer = bench.node.create_timer(0.2, publish)
    notes, sent = Notes(), len(bench.commands)
    try:
        yield notes
    finally:
        bench.node.destroy_timer(timer)
        for publisher, _ in publishers:
            bench.node.destroy_publisher(publisher)
        own = [c for c in bench.commands[sent:] if not (math.isfinite(c[1]) and math.isfinite(c[2]))]
        if own:
            notes.complaints.append(f"{len(own)} commands that are not finite")


def _every_float_nan(made: Any, stamp: Any) -> Any:
    """A message of a kind with NaN in every number, with as many elements in its lists as it takes to have some."""
    from geometry_msgs.msg import PoseStamped, TransformStamped

    message = made()
    if hasattr(message, "ranges"):
        message.ranges, message.header.frame_id = [0.0] * 360, "lidar"
    if hasattr(message, "transforms"):
        transform = TransformStamped(child_frame_id="base_link")
        transform.header.frame_id, transform.header.stamp = "odom", stamp
        message.transforms = [transform]
    if hasattr(message, "poses"):
        message.poses = [PoseStamped(), PoseStamped()]
    if hasattr(message, "header"):
        message.header.stamp = stamp
        message.header.frame_id = message.header.frame_id or "map"
    return with_every_float(message, math.nan)


@contextlib.contextmanager
def bad_goals(bench: StackBench, *frames: str) -> Iterator[Notes]:
    """Goals in frames that nobody knows, and goals of NaN, to every action that takes a pose or a path: each is answered, none preempts the mission."""
    notes = Notes()
    mission = bench.mission
    answers = [_answer(bench, client, goal) for client, goal in _goals(bench, frames)]
    codes = [int(a.result.error_code) if a is not None else -1 for a in answers]
    if any(code <= 0 for code in codes):
        notes.complaints.append(f"answers {codes}: each had to be an error")
    if bench.mission is not mission:
        notes.complaints.append("the mission under way was ended by a goal that cannot be meant")
    notes.note = f"error codes {codes}"
    yield notes


def _goals(bench: StackBench, frames: tuple[str, ...]) -> list[tuple[Any, Any]]:
    from astra_nav.action import NavigateToTarget
    from nav2_msgs.action import ComputePathToPose, NavigateToPose
    from rclpy.action import ActionClient

    from astra.ros.conversions import pose_stamped

    poses = [pose_stamped(Pose2(1.0, 0.0, 0.0), 0, frame) for frame in frames]
    poses.append(with_every_float(pose_stamped(Pose2(), 0, "map"), math.nan))
    target = ActionClient(bench.node, NavigateToTarget, "/navigate_to_target")
    path = ActionClient(bench.node, ComputePathToPose, "/compute_path_to_pose")
    goals: list[tuple[Any, Any]] = []
    for pose in poses:
        goals += [(bench.client, NavigateToPose.Goal(pose=pose)), (path, ComputePathToPose.Goal(goal=pose))]
        goals.append((target, NavigateToTarget.Goal(kind=NavigateToTarget.Goal.KIND_POSE, pose=pose)))
    return goals


def _answer(bench: StackBench, client: Any, goal: Any) -> Any:
    """Send a goal and wait for its result; None if none came."""
    sent = client.send_goal_async(goal)
    if not bench.until(sent.done, 5.0) or not sent.result().accepted:
        return None
    result = sent.result().get_result_async()
    return result.result() if bench.until(result.done, 5.0) else None


@contextlib.contextmanager
def flood(bench: StackBench, count: str, per_s: str, cancel: str = "") -> Iterator[Notes]:
    """So many goals at such a rate, each cancelled at once with `cancel`; every one must be answered."""
    notes, handles, done = Notes(), [], [0]
    pid = bench.supervisor.pid("astra_navigator")
    before = psutil.Process(pid).memory_info().rss if pid is not None else 0
    began, number = time.monotonic(), int(count)

    def accepted(future: Any) -> None:
        handle = future.result()
        handles.append(handle)
        handle.get_result_async().add_done_callback(lambda f: done.__setitem__(0, done[0] + 1))
        if cancel:
            handle.cancel_goal_async()

    for i in range(number):
        x, y, yaw = bench.places[i % len(bench.places)].tolist()
        bench.send(Pose2(x, y, yaw)).add_done_callback(accepted)
        due = began + (i + 1) / float(per_s)
        bench.until(lambda due=due: time.monotonic() >= due, 5.0)  # type: ignore[misc]
    took = time.monotonic() - began
    last = 0 if cancel else 1  # without cancels the last one is under way
    if not bench.until(lambda: done[0] >= number - last, 15.0):
        notes.complaints.append(f"{done[0]} of {number} goals were answered")
    if handles and not cancel:
        handles[-1].cancel_goal_async()
    grown = (psutil.Process(pid).memory_info().rss - before) / 1e6 if pid is not None else 0.0
    notes.note = f"{number} goals in {took:.0f} s, {done[0]} answered, astra_navigator grew by {grown:.1f} MB"
    yield notes


INJECTIONS: dict[str, Injection] = {
    "sensors": sensors, "kill": kill, "hang": hang, "starve": starve, "full_disk": full_disk, "new_map": new_map, "nan_messages": nan_messages,
    "bad_goals": bad_goals, "flood": flood,
}  # fmt: skip
