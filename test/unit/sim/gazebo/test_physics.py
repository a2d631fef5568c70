"""The exported world in the physics of Gazebo Fortress (DART through ign-physics), where Debian's packages of it are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from gazebo_hall import START, WALL_X_M, Export

from astra.core.types import FloatArray
from astra.sim.gazebo import export_sdf
from astra.sim.robot import RobotConfig
from astra.sim.world import World

SOURCE = Path(__file__).parents[4] / "tools" / "gazebo_check"
NEEDED = (
    "usr/include/ignition/physics5/ignition/physics/sdf/ConstructWorld.hh", "usr/include/sdformat-12*/sdf/Root.hh", "usr/include/eigen3/Eigen/Geometry",
    "usr/lib/*/ign-physics-5/engine-plugins/libignition-physics5-dartsim-plugin.so*",
)  # fmt: skip
missing = [pattern for pattern in NEEDED if not list(Path("/").glob(pattern))]
pytestmark = pytest.mark.skipif(
    bool(missing) or shutil.which("cmake") is None, reason=f"the physics of Gazebo Fortress is not installed (no {', '.join(missing)}); see docs/GAZEBO.md"
)
SETTLED_S = 0.5


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built check."""
    build = tmp_path_factory.mktemp("build")
    for command in (["cmake", "-S", str(SOURCE), "-B", str(build), "-DCMAKE_BUILD_TYPE=Debug"], ["cmake", "--build", str(build)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return build / "gazebo_check"


def drive(program: Path, export: Export, left: float, right: float, seconds: float) -> FloatArray:
    """Rows (N, 5): time [s], x, y, z [m], yaw [rad] of base_link while the wheels turn at set speeds [rad/s]."""
    command = [str(program), str(export.folder / "world.sdf"), str(left), str(right), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows: FloatArray = np.array([line.split() for line in done.stdout.splitlines()], dtype=np.float64)
    return rows


def test_straight_ahead_goes_as_far_as_its_wheels_roll(program: Path, export: Export) -> None:
    radps, rows = 2.5, drive(program, export, 2.5, 2.5, 8.0)
    assert rows[0, 1:4] == pytest.approx([START.x, START.y, 0.001])
    rolling = rows[rows[:, 0] >= SETTLED_S]
    expected = radps * export.robot.wheels.radius_m * (rolling[-1, 0] - rolling[0, 0])
    assert expected > 1.4
    assert rolling[-1, 1] - rolling[0, 1] == pytest.approx(expected, rel=0.02)
    assert np.abs(rolling[:, 2] - START.y).max() < 0.005
    assert np.abs(rolling[:, 3]).max() < 0.001  # on its wheels and casters
    assert np.abs(rolling[:, 4]).max() < 0.005


def test_turning_on_the_spot_turns_by_what_the_track_says(program: Path, export: Export) -> None:
    rows = drive(program, export, -2.0, 2.0, 6.0)
    rolling = rows[rows[:, 0] >= SETTLED_S]
    wheels = export.robot.wheels
    expected = 2 * 2.0 * wheels.radius_m / wheels.track_m * (rolling[-1, 0] - rolling[0, 0])
    yaw = np.unwrap(rolling[:, 4])
    assert yaw[-1] - yaw[0] == pytest.approx(expected, rel=0.03)
    assert np.abs(rolling[:, 1:3] - [START.x, START.y]).max() < 0.01


def test_a_circle_has_the_radius_of_its_wheels(program: Path, export: Export) -> None:
    wheels = export.robot.wheels
    rows = drive(program, export, 2.0, 4.0, 14.0)
    radius = wheels.track_m / 2 * (4.0 + 2.0) / (4.0 - 2.0)
    rolling = rows[rows[:, 0] >= SETTLED_S, 1:3]
    middle = (rolling.max(axis=0) + rolling.min(axis=0)) / 2
    np.testing.assert_allclose(np.linalg.norm(rolling - middle, axis=1), radius, rtol=0.03)


def test_a_wall_stops_the_robot(program: Path, export: Export) -> None:
    rows = drive(program, export, 5.0, 5.0, 15.0)
    assert rows[-1, 1] == pytest.approx(WALL_X_M - export.robot.radius_m, abs=0.03)
    assert abs(rows[-1, 1] - rows[-20, 1]) < 0.02


def test_a_whole_office_can_be_driven_in(program: Path, office: World, tmp_path: Path) -> None:
    robot = RobotConfig()
    export = Export(office, tmp_path / "office", export_sdf(office, robot, tmp_path / "office"), robot)
    rows = drive(program, export, 2.5, 2.5, 4.0)
    rolling = rows[rows[:, 0] >= SETTLED_S]
    assert np.hypot(*(rolling[-1, 1:3] - rolling[0, 1:3])) == pytest.approx(2.5 * robot.wheels.radius_m * 3.5, rel=0.02)
    assert rolling[-1, 3] == pytest.approx(0.0, abs=0.001)
