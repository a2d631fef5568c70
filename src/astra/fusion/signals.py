"""Fast sensor signals, to be integrated between the stamps of slower ones, and the test whether the robot stands."""

from __future__ import annotations

import bisect
import itertools
import math
from collections import deque

from astra.core.types import WheelTwist, nanoseconds, seconds
from astra.fusion.odometry_config import OdometryConfig


class Signal:
    """Samples over time, joined by straight lines; beyond its ends it goes on as it was, for `limit_s` at most."""

    def __init__(self, limit_s: float, memory: int = 4000) -> None:
        self._limit_ns, self._memory = nanoseconds(limit_s), memory
        self._stamps: list[int] = []
        self._values: list[float] = []
        self._sums: list[float] = []  # the integral since the first sample that was ever added

    def clear(self) -> None:
        """Forget all samples."""
        self._stamps.clear()
        self._values.clear()
        self._sums.clear()

    def add(self, stamp_ns: int, value: float) -> None:
        """Append a sample that is newer than all others."""
        total = 0.0
        if self._stamps:
            total = self._sums[-1] + 0.5 * (value + self._values[-1]) * seconds(stamp_ns - self._stamps[-1])
        self._stamps.append(stamp_ns)
        self._values.append(value)
        self._sums.append(total)
        if len(self._stamps) > self._memory:
            self._cut(self._memory // 2)

    def integral(self, start_ns: int, end_ns: int) -> float | None:
        """The integral between two stamps; None where samples are missing."""
        stamps, limit = self._stamps, self._limit_ns
        first = max(bisect.bisect_right(stamps, start_ns) - 1, 0)
        last = bisect.bisect_left(stamps, end_ns)
        if first >= len(stamps) or stamps[first] > start_ns + limit or stamps[-1] < end_ns - limit:
            return None
        inside = stamps[first : last + 1]
        if start_ns - inside[0] > limit or any(b - a > limit for a, b in itertools.pairwise(inside)):
            return None
        return self._until(end_ns, last) - self._until(start_ns, first)

    def _until(self, stamp_ns: int, near: int) -> float:
        """The integral up to a stamp; `near` is the index of a neighbour."""
        i = min(near, len(self._stamps) - 1)
        if self._stamps[i] > stamp_ns and i > 0:
            i -= 1
        after_s = seconds(stamp_ns - self._stamps[i])
        value = self._values[i]
        if after_s > 0.0 and i + 1 < len(self._stamps):
            slope = (self._values[i + 1] - value) / seconds(self._stamps[i + 1] - self._stamps[i])
            return self._sums[i] + after_s * (value + 0.5 * slope * after_s)
        return self._sums[i] + after_s * value

    def forget(self, before_ns: int) -> None:
        """Drop samples that no interval from `before_ns` on needs."""
        if len(self._stamps) > 64 and self._stamps[32] < before_ns:
            self._cut(bisect.bisect_right(self._stamps, before_ns) - 1)

    def _cut(self, count: int) -> None:
        del self._stamps[:count], self._values[:count], self._sums[:count]


class Standstill:
    """Whether wheels and gyro have been quiet for a while, and the stretches of rest from which the gyro's bias can be read."""

    def __init__(self, config: OdometryConfig) -> None:
        self._config = config
        self.reset()

    def reset(self) -> None:
        """Forget all readings."""
        self._wheel: deque[WheelTwist] = deque(maxlen=1000)
        self._gyro: deque[tuple[int, float]] = deque(maxlen=2000)
        self._rest: deque[tuple[int, float, float]] = deque(maxlen=2000)  # end [ns], duration [s], gyro turn [rad]
        self._rested_s = 0.0  # how long it has stood

    def add_wheel(self, twist: WheelTwist) -> None:
        """Note a wheel reading."""
        self._wheel.append(twist)
        oldest_ns = twist.stamp_ns - 2 * nanoseconds(self._config.standstill_window_s)
        while self._wheel[0].stamp_ns < oldest_ns:
            self._wheel.popleft()

    def add_gyro(self, stamp_ns: int, rate_radps: float) -> None:
        """Note a yaw rate as the gyro reads it."""
        self._gyro.append((stamp_ns, rate_radps))
        oldest_ns = stamp_ns - 2 * nanoseconds(self._config.standstill_window_s)
        while self._gyro[0][0] < oldest_ns:
            self._gyro.popleft()

    def forget_wheels(self) -> None:
        """Wheel readings from before a gap say nothing about now."""
        self._wheel.clear()
        self.moved()

    def stands(self, bias_radps: float, bias_sigma_radps: float) -> bool:
        """Whether wheels and gyro have been quiet for the whole window before the newest wheel reading."""
        c, newest = self._config, self._wheel[-1]
        if abs(newest.linear_mps) > 4.0 * c.standstill_speed_mps or abs(newest.angular_radps) > 4.0 * c.standstill_turn_radps:
            return False
        since_ns = newest.stamp_ns - nanoseconds(c.standstill_window_s)
        recent = [w for w in self._wheel if w.stamp_ns >= since_ns]
        if len(recent) < 3 or self._wheel[0].stamp_ns > since_ns + nanoseconds(0.3 * c.standstill_window_s):
            return False
        for values, limit in (([w.linear_mps for w in recent], c.standstill_speed_mps), ([w.angular_radps for w in recent], c.standstill_turn_radps)):
            if max(map(abs, values)) > 4.0 * limit or abs(sum(values)) > len(values) * limit:
                return False
        return not self.turning(bias_radps, bias_sigma_radps)

    def turning(self, bias_radps: float, bias_sigma_radps: float) -> bool:
        """Whether the gyro sees a rotation that its bias does not explain (pushed, lifted or carried)."""
        if not self._gyro:
            return False
        since_ns = self._gyro[-1][0] - nanoseconds(self._config.standstill_window_s)
        rates = [rate for stamp, rate in self._gyro if stamp >= since_ns]
        if len(rates) < 3:
            return False
        mean = sum(rates) / len(rates)
        deviation = math.sqrt(sum((r - mean) ** 2 for r in rates) / len(rates))
        tolerance = self._config.standstill_turn_radps / 2.0 + 3.0 * bias_sigma_radps
        return deviation > self._config.standstill_gyro_std_radps or abs(mean - bias_radps) > tolerance

    def rested(self, end_ns: int, span_s: float, gyro_rad: float | None, bias_radps: float, bias_sigma_radps: float) -> tuple[float, float] | None:
        """Note a stretch of rest; returns duration [s] and gyro turn [rad] of stretches that have stayed rest for long enough to be believed.

        A robot that starts moves before this is noticed, so that the newest stretches wait; one that begins to turn the other way is as quiet as
        one that stands, but not for long.
        """
        self._rested_s += span_s
        if gyro_rad is not None:
            self._rest.append((end_ns, span_s, gyro_rad))
        if self._rested_s < self._config.standstill_learn_s:
            return None
        sure_ns, total_s, total_rad = end_ns - nanoseconds(self._config.standstill_margin_s), 0.0, 0.0
        while self._rest and self._rest[0][0] <= sure_ns:
            _, span, turn = self._rest.popleft()
            total_s, total_rad = total_s + span, total_rad + turn
        if total_s <= 0.0:
            return None
        spread_radps = math.hypot(bias_sigma_radps, self._config.gyro_noise / math.sqrt(total_s))
        surprising = abs(total_rad / total_s - bias_radps) > 4.0 * spread_radps
        return None if surprising and self._rested_s < self._config.standstill_sure_s else (total_s, total_rad)

    def moved(self) -> None:
        """The robot moves: what was last taken for rest may not have been."""
        self._rest.clear()
        self._rested_s = 0.0
