import pytest

from astra.doctor.finding import Finding, Severity
from astra.doctor.frames import examine_frames

WHOLE = {"odom": {"map"}, "base_link": {"odom"}, "front_optical_frame": {"base_link"}, "imu_link": {"base_link"}}


def faults(parents: dict[str, set[str]]) -> list[Finding]:
    return [f for f in examine_frames(parents) if f.severity is not Severity.OK]


def test_a_whole_tree_is_well() -> None:
    (finding,) = examine_frames(WHOLE)
    assert (finding.severity, finding.value) == (Severity.OK, 5)
    assert "map" in finding.what


@pytest.mark.parametrize(
    ("change", "severity", "says"),
    [
        ({"base_link": {"odom", "wheel_odom"}}, Severity.ERROR, "2 parents: odom, wheel_odom"),
        ({"imu_link": {"imu_mount"}}, Severity.ERROR, "not connected with base_link: imu_link, imu_mount"),
        ({"odom": {"base_link"}}, Severity.ERROR, "in a ring"),
    ],
)
def test_each_fault_is_named_with_what_to_do(change: dict[str, set[str]], severity: Severity, says: str) -> None:
    found = faults(WHOLE | change)
    assert any(f.severity is severity and says in f.what for f in found), found
    assert all(f.advice for f in found)


def test_nothing_heard_no_base_and_no_odometry() -> None:
    assert faults({})[0].severity is Severity.ERROR
    assert "no base_link" in faults({"laser": {"chassis"}})[0].what
    (odometry,) = faults({"imu_link": {"base_link"}})
    assert (odometry.severity, "odom → base_link" in odometry.what) == (Severity.WARNING, True)
