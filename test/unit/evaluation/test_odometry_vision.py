"""The shipped head on a drive through the simulator: any subset of sensors tells the way, and cameras that fail are noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.core.paths import share_dir
from astra.core.types import UInt8Array, nanoseconds
from astra.datasets import open_drive
from astra.datasets.drive import Drive
from astra.datasets.odometry_rides import Ride
from astra.datasets.record import RecordRequest, record_world
from astra.evaluation.odometry_metrics import ate_m, pair_tracks
from astra.evaluation.odometry_runs import OdometryRun, recorded_run
from astra.evaluation.odometry_vision import featureless, fused, look_through
from astra.fusion.odometry import integrate
from astra.geometry import Pose2
from astra.local_model.odometry.runtime import StepMotion
from astra.local_model.odometry.sight import SeeingOdometry
from astra.sim.recording import RecordingConfig
from astra.sim.world import build_office

EYES, HEAD = share_dir() / "models" / "eyes", share_dir() / "models" / "odometry"
SECONDS = 10.0


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """From goal to goal through an office, with a robot that slips as the recipe says."""
    root = tmp_path_factory.mktemp("seen")
    world = build_office(root / "office", 0)
    recording = RecordingConfig(5.0, seconds=SECONDS)
    record_world(RecordRequest(world, root / "drive", seed=4, driver="expert", movers=False, disturbances=False, recording=recording, randomize=4))
    return open_drive(root / "drive")


@pytest.fixture(scope="module")
def run(drive: Drive) -> OdometryRun:
    return recorded_run(drive)


def test_every_subset_of_sensors_tells_the_way(drive: Drive, run: OdometryRun) -> None:
    length = run.truth.length_m()
    assert length > 2.0
    for sensors, share in (("vision",), 0.06), (("vision", "imu"), 0.06), (("vision", "imu", "wheel"), 0.03):
        steps = look_through(drive, EYES, HEAD, sensors, run.imu)
        told = fused(steps, run.wheel if "wheel" in sensors else (), run.imu if "imu" in sensors else ())
        assert ate_m(pair_tracks(run.truth, told)) < share * length, sensors


def test_no_step_is_no_way(run: OdometryRun) -> None:
    with pytest.raises(BadInputError, match="no two frames"):
        fused((), run.wheel, run.imu)
    assert np.isfinite(integrate(run.wheel, run.imu).poses).all()  # which goes on without eyes


Spoil = Callable[[str, UInt8Array, UInt8Array], UInt8Array | None]


def watched(drive: Drive, spoil: Spoil, cameras: int, begin_s: float = 3.0, end_s: float = 6.0) -> list[tuple[int, StepMotion | None]]:
    """What is told of each look while the first `cameras` cameras fail for three seconds."""
    odometry, out, first = SeeingOdometry(EYES, HEAD, drive.rig), list[tuple[int, StepMotion | None]](), dict[str, UInt8Array]()
    pose = Pose2()
    for observation in drive.observations():
        images: dict[str, UInt8Array | None] = {frame.camera: frame.rgb for frame in observation.frames}
        if not images:
            continue
        if nanoseconds(begin_s) <= observation.stamp_ns < nanoseconds(end_s):
            for name in drive.rig.names[:cameras]:
                image = images[name]
                assert image is not None
                images[name] = spoil(name, image, first.setdefault(name, image))
        pose = pose @ Pose2(0.08, 0.0, 0.0)  # by odometry the robot drives: pictures that stay the same are frozen
        out.append((observation.stamp_ns, odometry.see(images, observation.stamp_ns, pose)))
    return out


FAILURES: dict[str, Spoil] = {"frozen": lambda name, now, first: first, "black": lambda name, now, first: np.zeros_like(now), "missing": lambda *_: None}


@pytest.mark.parametrize("failure", FAILURES)
def test_when_every_camera_fails_nothing_is_told_until_they_see_again(drive: Drive, failure: str) -> None:
    told = watched(drive, FAILURES[failure], len(drive.rig.names))
    silent = [step for stamp, step in told if nanoseconds(4.0) <= stamp < nanoseconds(6.0)]
    after = [step for stamp, step in told if stamp >= nanoseconds(7.0)]
    assert silent and all(step is None for step in silent)
    assert after and all(step is not None for step in after)


@pytest.mark.parametrize("failure", FAILURES)
def test_one_camera_that_fails_leaves_the_way_to_the_others(drive: Drive, run: OdometryRun, failure: str) -> None:
    told = watched(drive, FAILURES[failure], 1)
    steps = [step for _, step in told if step is not None]
    assert len(steps) >= len(told) - 1
    assert all(np.isfinite(step.planar).all() and np.linalg.eigvalsh(step.planar_covariance).min() > 0.0 for step in steps)
    assert ate_m(pair_tracks(run.truth, fused(steps, run.wheel, run.imu))) < 0.03 * run.truth.length_m()


def test_spans_with_few_points_count_as_featureless() -> None:
    points = np.zeros((40, 16), np.float32)
    points[:, 12] = 1.0  # of 200 points
    points[10:20, 12] = 0.1
    points[30:32, 12] = 0.1  # less than a second
    ride = replace(BLANK, points=points, stamps_ns=np.arange(40) * 200_000_000)
    assert featureless(ride).tolist() == [[9 * 200_000_000, 19 * 200_000_000]]


BLANK = Ride(*(np.zeros((0,)) for _ in Ride.__dataclass_fields__))
