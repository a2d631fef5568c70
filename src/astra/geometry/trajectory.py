"""Planar trajectories over time, and the TUM text format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, IntArray
from astra.geometry.se2 import Pose2, wrap_angle
from astra.geometry.se3 import Pose3


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Planar poses over time: `stamps_ns` (N,) int64, strictly increasing; `poses` (N, 3) of x [m], y [m], yaw [rad]."""

    stamps_ns: IntArray
    poses: FloatArray

    def __post_init__(self) -> None:
        if len(self.stamps_ns) != len(self.poses) or len(self.stamps_ns) == 0:
            raise BadInputError(f"a trajectory needs one stamp a pose and at least one, got {len(self.stamps_ns)} and {len(self.poses)}")
        if np.any(np.diff(self.stamps_ns) <= 0):
            raise BadInputError("a trajectory's stamps must increase strictly")

    def at(self, stamp_ns: int) -> Pose2:
        """The pose at a stamp, linearly interpolated and clamped to the ends."""
        i = int(np.clip(np.searchsorted(self.stamps_ns, stamp_ns), 1, max(len(self.stamps_ns) - 1, 1)))
        if len(self.stamps_ns) == 1:
            i = 0
        a, b = self.poses[max(i - 1, 0)], self.poses[i]
        t0, t1 = int(self.stamps_ns[max(i - 1, 0)]), int(self.stamps_ns[i])
        u = 0.0 if t1 == t0 else min(max((stamp_ns - t0) / (t1 - t0), 0.0), 1.0)
        yaw = wrap_angle(float(a[2]) + u * wrap_angle(float(b[2] - a[2])))
        return Pose2(float(a[0] + u * (b[0] - a[0])), float(a[1] + u * (b[1] - a[1])), yaw)

    def length_m(self) -> float:
        """Path length [m]."""
        return float(np.linalg.norm(np.diff(self.poses[:, :2], axis=0), axis=1).sum())

    def save_tum(self, path: Path) -> None:
        """Write `timestamp tx ty tz qx qy qz qw`, one pose a line."""
        lines = []
        for stamp, (x, y, yaw) in zip(self.stamps_ns.tolist(), self.poses.tolist()):
            lines.append(f"{stamp // 10**9}.{stamp % 10**9:09d} {x:.6f} {y:.6f} 0 0 0 {np.sin(yaw / 2):.9f} {np.cos(yaw / 2):.9f}")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @staticmethod
    def load_tum(path: Path) -> Trajectory:
        """Read a TUM trajectory, keeping the planar part.

        Raises:
            BadInputError: the file is missing or a line is not eight finite numbers.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(f"cannot read trajectory {path}: {error}") from error
        stamps: list[int] = []
        poses: list[tuple[float, float, float]] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            try:
                t, *rest = line.split()
                values = [float(v) for v in rest]
                whole, _, fraction = t.partition(".")
                stamp = int(whole) * 10**9 + int((fraction + "0" * 9)[:9]) if "e" not in t.lower() else round(float(t) * 1e9)
            except (ValueError, OverflowError) as error:
                raise BadInputError(f"{path}:{number}: not a TUM pose: {line.strip()!r}") from error
            if abs(stamp) >= 2**62:
                raise BadInputError(f"{path}:{number}: stamp {t} is out of range")
            if len(values) != 7 or not np.all(np.isfinite(values)) or not any(values[3:]):
                raise BadInputError(f"{path}:{number}: a TUM pose has a stamp and seven finite numbers, found {line.strip()!r}")
            planar = Pose3.from_quaternion(np.array(values[3:]), np.array(values[:3])).pose2()
            stamps.append(stamp)
            poses.append((planar.x, planar.y, planar.yaw))
        if not stamps:
            raise BadInputError(f"{path} holds no poses")
        return Trajectory(np.array(stamps, dtype=np.int64), np.array(poses))
