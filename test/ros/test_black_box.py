"""The last minute is written when something goes wrong, whole, and never more of it than the disk is granted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from ros_bench import ros_bench
from std_msgs.msg import String
from std_srvs.srv import Trigger

from astra.ros import qos
from astra.ros.nodes.astra_black_box import MARK, is_reason, make_room, write_snapshot

pytestmark = pytest.mark.ros


def status(level: bytes, name: str, message: str = "", **values: str) -> DiagnosticStatus:
    return DiagnosticStatus(level=level, name=name, message=message, values=[KeyValue(key=k, value=v) for k, v in values.items()])


def test_what_is_a_reason() -> None:
    error, warn, fine = DiagnosticStatus.ERROR, DiagnosticStatus.WARN, DiagnosticStatus.OK
    assert is_reason(status(error, "astra_controller: velocity gate", "stale_scan"))
    assert is_reason(status(warn, "astra_navigator: mission", code="BLOCKED"))
    assert not is_reason(status(warn, "astra_navigator: mission", code="NOT_FOUND"))
    assert is_reason(status(warn, "astra_global: localization", "lost"))
    assert not is_reason(status(warn, "astra_sim: clock", "slower than asked for"))
    assert not is_reason(status(fine, "astra_global: localization", "tracking"))


def test_a_snapshot_is_a_drive_like_any_other_and_the_oldest_make_room(tmp_path: Path) -> None:
    from rclpy.serialization import serialize_message
    from rosbags.highlevel import AnyReader

    rows = [("/words", i, serialize_message(String(data=f"{i}"))) for i in range(3)]
    written = [write_snapshot(rows, {"/words": "std_msgs/msg/String"}, tmp_path, "astra_local: BLOCKED!", 100.0) for _ in range(3)]
    assert all("astra-local-blocked" in path.name for path in written)
    with AnyReader([written[0]]) as reader:
        assert [reader.deserialize(raw, c.msgtype).data for c, _, raw in reader.messages()] == ["0", "1", "2"]
    assert json.loads((written[0] / MARK).read_text())["messages"] == 3
    stranger = tmp_path / "holiday"
    stranger.mkdir()
    make_room(tmp_path, 1e-6, written[2])
    assert sorted(p for p in tmp_path.iterdir() if p.is_dir()) == sorted([stranger, written[2]])


def test_the_node_writes_when_a_status_turns_bad_and_when_asked(tmp_path: Path, ros_domain: int) -> None:
    with ros_bench() as bench:
        words = bench.node.create_publisher(String, "words", qos.RELIABLE)
        troubles = bench.node.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        bench.start("astra_black_box", {"out": str(tmp_path), "after": 0.0, "pause": 0.0})
        bench.until(lambda: bench.active("astra_black_box"), 30.0, "the black box")

        def written(reason: str) -> bool:
            words.publish(String(data="x"))
            return any(reason in path.parent.name for path in tmp_path.glob(f"*/{MARK}"))

        def complain() -> bool:
            bad = status(DiagnosticStatus.ERROR, "astra_local: inputs", "no scan")
            bad.hardware_id = "astra_local"
            troubles.publish(DiagnosticArray(status=[bad]))
            return written("astra-local-inputs")

        bench.until(complain, 20.0, "a snapshot of its own accord")
        client = bench.node.create_client(Trigger, "astra/snapshot")
        bench.until(client.service_is_ready, 10.0, "the service")
        answer = client.call_async(Trigger.Request())
        bench.until(answer.done, 10.0, "an answer")
        assert answer.result().success
        bench.until(lambda: written("asked-for"), 20.0, "a snapshot on request")
        assert len(list(tmp_path.glob("*astra-local*"))) == 1  # what stays bad is no new reason
