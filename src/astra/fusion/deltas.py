"""Visual odometry, which is a pose that drifts, as the Δposes that the filter fuses."""

from __future__ import annotations

import numpy as np

from astra.core.types import AnyArray, FloatArray
from astra.fusion.history import DeltaPose
from astra.geometry.se2 import Pose2

PLANAR = (0, 1, 5)  # x, y, yaw among the six
# How many times their told variance vision's Δposes count for in x, y and yaw. Each is told rightly, but those of the next seconds err the same way,
# more than the filter's stretch and bend explain. Set on recorded runs of worlds to tune on (docs/results/odometry.md).
VISION_DOUBT = (30.0, 30.0, 30.0)


def doubted(covariance: FloatArray) -> FloatArray:
    """The covariance (3, 3) of a Δpose of vision as the filter had better take it."""
    sigma = np.sqrt(VISION_DOUBT)
    wide: FloatArray = covariance * np.outer(sigma, sigma)
    return wide


class DeltaReader:
    """Two messages in a row → the Δpose between them."""

    def __init__(self) -> None:
        self._before: tuple[int, Pose2] | None = None

    def push(self, stamp_ns: int, pose: Pose2, covariance: AnyArray) -> DeltaPose | None:
        """The Δpose since the last message; None after a beginning, and where a stamp does not follow.

        Args:
            stamp_ns, pose: of the message. covariance: (36,) of its newest step; negative where it begins anew.
        """
        before, self._before = self._before, (stamp_ns, pose)
        square = np.asarray(covariance, np.float64).reshape(6, 6)
        if before is None or square[0, 0] < 0.0 or stamp_ns <= before[0]:
            return None
        return DeltaPose(before[0], stamp_ns, before[1].inverse() @ pose, doubted(square[np.ix_(PLANAR, PLANAR)]))
