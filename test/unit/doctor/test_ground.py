"""The floor tells of wheels that count too much or too little, and of cameras that hang otherwise than their transforms say."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from ailing_robot import Record, camera

from astra.doctor.finding import Finding, Severity
from astra.doctor.ground import examine_ground, floor_pixels
from astra.geometry import BODY_FROM_OPTICAL, Pose3, RigCamera


def tilted(pitch_deg: float = 0.0, height_m: float = 1.0) -> RigCamera:
    """The front camera, looking down by `pitch_deg`."""
    return dataclasses.replace(
        camera(), base_from_cam=Pose3.from_rpy(0.0, math.radians(pitch_deg), 0.0, np.array([0.1, 0.0, height_m])) @ BODY_FROM_OPTICAL
    )


def found(record: Record, **how: object) -> dict[str, Finding]:
    return {f.check: f for f in examine_ground(record(**how))}


def test_a_well_measured_robot_is_left_in_peace(record: Record) -> None:
    finding = found(record, true=camera())["floor seen by front"]
    assert finding.severity is Severity.OK and finding.value == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("counts", [0.8, 1.25])
def test_wheels_that_count_wrongly_are_found(record: Record, counts: float) -> None:
    finding = found(record, true=camera(), wheel=counts)["floor seen by front"]
    assert finding.severity is Severity.WARNING and finding.value == pytest.approx(abs(1.0 / counts - 1.0), abs=0.04)


def test_wheels_that_count_backwards_are_found(record: Record) -> None:
    finding = found(record, true=camera(), wheel=-1.0)["wheels against the floor"]
    assert finding.severity is Severity.ERROR and "the other way" in finding.what


@pytest.mark.parametrize(("told", "word"), [(tilted(height_m=0.8), "m would fit"), (tilted(pitch_deg=6.0), "tilted farther up")])
def test_a_camera_that_hangs_otherwise_is_found(record: Record, told: RigCamera, word: str) -> None:
    finding = found(record, true=camera(), told=told)["floor seen by front"]
    assert finding.severity is not Severity.OK and word in finding.advice, finding


def test_a_camera_that_sees_no_floor_judges_nothing(record: Record) -> None:
    up = tilted(pitch_deg=-60.0)
    assert len(floor_pixels(up)[0]) == 0
    assert found(record, true=up)["wheels against the floor"].severity is Severity.UNKNOWN
