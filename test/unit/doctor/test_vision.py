"""The pictures tell of cameras that are turned, of wrong calibrations, of wheels that count backwards and of frozen drivers."""

from __future__ import annotations

import dataclasses

import pytest
from ailing_robot import MODEL, Record, camera

from astra.doctor.finding import Finding, Severity, worst
from astra.doctor.vision import examine_vision


def found(record: Record, **how: object) -> dict[str, Finding]:
    """The findings by check."""
    return {f.check: f for f in examine_vision(record(**how))}


def test_a_calibrated_camera_is_left_in_peace(record: Record) -> None:
    findings = found(record, true=camera())
    assert worst(findings.values()) is Severity.OK, findings
    assert {"mounting of front", "upright of front", "focal length of front", "epipolar fit of front"} <= findings.keys()


@pytest.mark.parametrize("yaw_deg", [0.0, 90.0])
def test_a_turned_camera_is_found_wherever_it_looks(record: Record, yaw_deg: float) -> None:
    finding = found(record, true=camera(yaw_deg=yaw_deg + 20.0), told=camera(yaw_deg=yaw_deg))["mounting of front"]
    assert finding.severity is Severity.ERROR and finding.value == pytest.approx(20.0, abs=3.0)
    assert "+20" in finding.advice or "+19" in finding.advice or "+21" in finding.advice


def test_wheels_that_count_backwards_are_found(record: Record) -> None:
    finding = found(record, true=camera(), wheel=-1.0)["mounting of front"]
    assert finding.severity is Severity.ERROR and "the other way" in finding.what


def test_a_wrong_focal_length_is_found(record: Record) -> None:
    wrong = dataclasses.replace(MODEL, fx=1.4 * MODEL.fx, fy=1.4 * MODEL.fy)
    finding = found(record, true=camera(), told=camera(model=wrong))["focal length of front"]
    assert finding.severity is not Severity.OK and "smaller" in finding.advice


def test_a_frozen_driver_is_found(record: Record) -> None:
    finding = found(record, true=camera(), frozen=True)["pictures of front"]
    assert finding.severity is Severity.ERROR and "repeat" in finding.what
