"""Does a map fit the drive? The localizer is a stand-in that finds the robot where the test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ailing_robot import MODEL, camera

from astra.core.types import CameraFrame, Observation
from astra.doctor import map_fit
from astra.doctor.finding import Finding, Severity
from astra.geometry import CameraRig, Pose2, Pose3
from astra.global_model.types import Query, Status

SECOND = 10**9
BLANK = np.zeros((MODEL.height, MODEL.width, 3), dtype=np.uint8)


def examined(monkeypatch: pytest.MonkeyPatch, map_from_base: Callable[[int], Pose3 | None]) -> dict[str, Finding]:
    """Findings of a drive of 20 m by the wheels, one look a metre; `map_from_base` of the look's number is where it is localized."""
    looks = iter(range(100))

    class Localizer:
        def __init__(self, folder: Path) -> None:
            pass

        def localize(self, query: Query) -> Any:
            assert not query.on_floor
            pose = map_from_base(next(looks))
            return SimpleNamespace(status=Status.LOST if pose is None else Status.LOCALIZED, map_from_base=pose)

    monkeypatch.setattr(map_fit, "GlobalLocalizer", Localizer)
    observations = [Observation(i * SECOND, (CameraFrame(i * SECOND, "front", BLANK),)) for i in range(20)]
    odometry = SimpleNamespace(at=lambda stamp_ns: Pose2(stamp_ns / SECOND, 0.0, 0.0))
    drive: Any = SimpleNamespace(rig=CameraRig((camera(),)), odometry=odometry, duration_s=20.0, observations=lambda: iter(observations))
    return {f.check: f for f in map_fit.examine_map(drive, Path("maps/hq"))}


def test_a_map_of_this_place_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, lambda i: Pose3.from_pose2(Pose2(float(i), 0.0, 0.0), 0.02))
    assert [f.severity for f in found.values()] == [Severity.OK] * 3


def test_another_building_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = examined(monkeypatch, lambda i: None).values()
    assert (finding.severity, "right building" in finding.advice) == (Severity.ERROR, True)


def test_cameras_hung_too_high_and_wheels_too_large_are_told_with_the_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, lambda i: Pose3.from_pose2(Pose2(0.8 * i, 0.0, 0.0), 0.5))
    assert (found["map fits the cameras"].severity, "+0.50 m" in found["map fits the cameras"].what) == (Severity.ERROR, True)
    assert (found["map fits the wheels"].severity, "by 0.800" in found["map fits the wheels"].advice) == (Severity.ERROR, True)
