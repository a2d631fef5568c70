"""astra_sim with sensors and wheels that break on order, for `astra eval faults`.

`faults/order` (std_msgs/String, JSON): `{"spoil": {"front": ["black"], "scan": ["late", 5]}, "wheels": "free"}` replaces whatever was ordered before;
`{}` is well again; `faults/obeyed` repeats the order once it is in force. Streams: the cameras' names, imu, wheel, scan, clock. `wheels`: "blocked"
(they do not turn), "free" (they turn on the spot).
"""

from __future__ import annotations

import json
from typing import Any

from std_msgs.msg import String

from astra.core.errors import BadInputError
from astra.core.types import WheelTwist
from astra.ros import node, qos
from astra.ros.conversions import wheel_to_odometry
from astra.ros.faults.spoil import Spoiler, spoiler
from astra.ros.nodes.astra_sim import AstraSim
from astra.sim.robot import RobotConfig


class _Tap:
    """Stands where a publisher stood."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher
        self.spoilers: tuple[Spoiler, ...] = ()

    def publish(self, message: Any) -> None:
        messages: tuple[Any, ...] = (message,)
        for spoil in self.spoilers:
            messages = tuple(out for m in messages for out in spoil(m))
        for out in messages:
            self._publisher.publish(out)


class AstraFaultySim(AstraSim):
    """The simulator's publishers behind taps; physics stay as they are, apart from the wheels."""

    def __init__(self) -> None:
        super().__init__("astra_faulty_sim")
        self._wheels = ""
        self.create_subscription(String, "faults/order", self._on_order, qos.RELIABLE)
        self._obeyed = self.create_publisher(String, "faults/obeyed", qos.RELIABLE)

    def _create_publishers(self, robot: RobotConfig) -> None:
        super()._create_publishers(robot)
        self._taps: dict[str, list[_Tap]] = {}
        for camera in self._images:
            self._images[camera] = self._tap(camera, self._images[camera])
            self._infos[camera] = self._tap(camera, self._infos[camera])
        self._imu_out, self._wheel_out = self._tap("imu", self._imu_out), self._tap("wheel", self._wheel_out)
        self._clock_out, self._scan_out = self._tap("clock", self._clock_out), self._tap("scan", self._scan_out)

    def _tap(self, stream: str, publisher: Any) -> Any:
        tap = _Tap(publisher)
        self._taps.setdefault(stream, []).append(tap)
        return tap

    def _on_order(self, message: String) -> None:
        try:
            order = json.loads(message.data)
            spoilers = {stream: [spoiler(*way) for way in self._ways(what)] for stream, what in order.get("spoil", {}).items()}
            if unknown := set(spoilers) - set(self._taps):
                raise BadInputError(f"no streams called {', '.join(sorted(unknown))}")
        except (ValueError, TypeError, AttributeError, BadInputError) as error:
            self.report(node.ERROR, "order", f"refused: {error}")
            return
        self._wheels = str(order.get("wheels", ""))
        for stream, taps in self._taps.items():
            for tap in taps:
                tap.spoilers = tuple(spoilers.get(stream, ()))
        self._obeyed.publish(message)
        self.get_logger().info(f"ordered: {message.data}")

    @staticmethod
    def _ways(what: list[Any]) -> list[list[Any]]:
        """One way, or several one after the other."""
        return what if what and isinstance(what[0], list) else [what]

    def _obey(self) -> None:
        super()._obey()
        if self._wheels:
            self._sim.set_command(0.0, 0.0)

    def _publish_fast(self) -> None:
        if self._wheels == "free":  # they turn as they were told, and the robot does not move
            for twist in self._sim.drain_wheel():
                self._turn_freely(twist)
        super()._publish_fast()

    def _turn_freely(self, twist: Any) -> None:
        linear, angular, _ = self._command
        self._wheel_out.publish(wheel_to_odometry(WheelTwist(twist.stamp_ns, linear, angular)))


def main() -> int:
    """Run the node."""
    return node.run(AstraFaultySim)
