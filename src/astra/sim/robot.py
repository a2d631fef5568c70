"""The robot: one description from which the simulator's body, the camera rig and the URDF are all made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose3, RigCamera
from astra.sim.fisheye import equidistant, views

WIDEST_DEG = {"pinhole": 150.0, "equidistant": 180.0}


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """Identical cameras around the mast, looking outwards and level; `lens`: pinhole, or equidistant (a fisheye)."""

    names: tuple[str, ...] = ("front", "left", "back", "right")
    yaws_deg: tuple[float, ...] = (0.0, 90.0, 180.0, 270.0)
    width: int = 224
    height: int = 160
    horizontal_fov_deg: float = 90.0
    z_m: float = 0.90
    offset_m: float = 0.08  # out from the mast's axis
    rate_hz: float = 10.0
    lens: str = "pinhole"

    def __post_init__(self) -> None:
        require(len(self.names) == len(self.yaws_deg) > 0, "cameras.yaws_deg", self.yaws_deg, "as many as cameras.names, at least one")
        require(len(set(self.names)) == len(self.names), "cameras.names", self.names, "distinct")
        require(16 <= self.width <= 4096, "cameras.width", self.width, "between 16 and 4096")
        require(16 <= self.height <= 4096, "cameras.height", self.height, "between 16 and 4096")
        require(self.lens in WIDEST_DEG, "cameras.lens", self.lens, f"one of {', '.join(WIDEST_DEG)}")
        widest = WIDEST_DEG[self.lens]
        require(10.0 <= self.horizontal_fov_deg <= widest, "cameras.horizontal_fov_deg", self.horizontal_fov_deg, f"between 10 and {widest:g}")
        require(0.3 <= self.z_m <= 2.0, "cameras.z_m", self.z_m, "between 0.3 and 2.0")
        require(0.04 <= self.offset_m <= 0.5, "cameras.offset_m", self.offset_m, "between 0.04 and 0.5")
        require(0.1 <= self.rate_hz <= 100.0, "cameras.rate_hz", self.rate_hz, "between 0.1 and 100")


@dataclass(frozen=True, slots=True)
class ImuConfig:
    """IMU place and errors. Noise is per sample; biases start at random and walk."""

    z_m: float = 0.15
    rate_hz: float = 200.0
    gyro_noise_radps: float = 0.003
    gyro_bias_radps: float = 0.004
    gyro_walk_radps_sqrts: float = 5e-5
    accel_noise_mps2: float = 0.03
    accel_bias_mps2: float = 0.05
    accel_walk_mps2_sqrts: float = 5e-4

    def __post_init__(self) -> None:
        require(1.0 <= self.rate_hz <= 400.0, "imu.rate_hz", self.rate_hz, "between 1 and 400")
        for name in ("gyro_noise_radps", "gyro_bias_radps", "gyro_walk_radps_sqrts"):
            require(0.0 <= getattr(self, name) < 1.0, f"imu.{name}", getattr(self, name), "in [0, 1)")
        for name in ("accel_noise_mps2", "accel_bias_mps2", "accel_walk_mps2_sqrts"):
            require(0.0 <= getattr(self, name) < 5.0, f"imu.{name}", getattr(self, name), "in [0, 5)")


@dataclass(frozen=True, slots=True)
class WheelConfig:
    """Drive geometry and the encoders' errors: radii that differ from their nominal value, a wrong track, finite ticks."""

    radius_m: float = 0.08
    track_m: float = 0.34
    rate_hz: float = 50.0
    ticks_per_turn: int = 4096
    radius_error: float = 0.004  # relative, one standard deviation, drawn once for each wheel
    track_error: float = 0.01

    def __post_init__(self) -> None:
        require(0.02 <= self.radius_m <= 0.3, "wheels.radius_m", self.radius_m, "between 0.02 and 0.3")
        require(0.1 <= self.track_m <= 1.0, "wheels.track_m", self.track_m, "between 0.1 and 1.0")
        require(1.0 <= self.rate_hz <= 400.0, "wheels.rate_hz", self.rate_hz, "between 1 and 400")
        require(self.ticks_per_turn >= 16, "wheels.ticks_per_turn", self.ticks_per_turn, "at least 16")
        require(0.0 <= self.radius_error < 0.2, "wheels.radius_error", self.radius_error, "in [0, 0.2)")
        require(0.0 <= self.track_error < 0.2, "wheels.track_error", self.track_error, "in [0, 0.2)")


@dataclass(frozen=True, slots=True)
class LidarConfig:
    """A planar lidar: `beams` over a full turn, beam 0 at -π."""

    z_m: float = 0.20
    beams: int = 360
    rate_hz: float = 10.0
    range_min_m: float = 0.1
    range_max_m: float = 10.0
    noise_m: float = 0.01

    def __post_init__(self) -> None:
        require(0.05 <= self.z_m <= 2.0, "lidar.z_m", self.z_m, "between 0.05 and 2.0")
        require(8 <= self.beams <= 4096, "lidar.beams", self.beams, "between 8 and 4096")
        require(0.1 <= self.rate_hz <= 100.0, "lidar.rate_hz", self.rate_hz, "between 0.1 and 100")
        require(0.0 <= self.range_min_m < self.range_max_m, "lidar.range_min_m", self.range_min_m, "in [0, range_max_m)")
        require(0.0 <= self.noise_m < 1.0, "lidar.noise_m", self.noise_m, "in [0, 1)")

    def angles(self) -> Float32Array:
        """Beam angles (beams,) [rad] in the lidar frame."""
        return (-math.pi + 2.0 * math.pi / self.beams * np.arange(self.beams)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class RobotConfig:
    """A differential drive with a mast, round or rectangular. base_link lies on the floor between the wheels, in the middle.

    `length_m`, `width_m`: of a rectangular body; 0: a round one of `radius_m`, which otherwise is the reach of its corners.
    """

    name: str = "diffdrive"
    radius_m: float = 0.22
    length_m: float = 0.0
    width_m: float = 0.0
    body_height_m: float = 0.30
    mass_kg: float = 12.0
    max_linear_mps: float = 0.6
    max_angular_radps: float = 1.2
    max_linear_mps2: float = 0.8
    max_angular_radps2: float = 2.5
    cameras: CameraConfig = field(default_factory=CameraConfig)
    imu: ImuConfig = field(default_factory=ImuConfig)
    wheels: WheelConfig = field(default_factory=WheelConfig)
    lidar: LidarConfig = field(default_factory=LidarConfig)

    def __post_init__(self) -> None:
        require(0.05 <= self.radius_m <= 1.0, "radius_m", self.radius_m, "between 0.05 and 1.0")
        require(0.1 <= self.body_height_m < self.cameras.z_m, "body_height_m", self.body_height_m, "at least 0.1, below cameras.z_m")
        require(1.0 <= self.mass_kg <= 200.0, "mass_kg", self.mass_kg, "between 1 and 200")
        for name in ("max_linear_mps", "max_angular_radps", "max_linear_mps2", "max_angular_radps2"):
            require(0.0 < getattr(self, name) <= 10.0, name, getattr(self, name), "in (0, 10]")
        require((self.length_m > 0.0) == (self.width_m > 0.0), "width_m", self.width_m, "positive if and only if length_m is")
        require(0.0 <= self.length_m <= 2.0 and 0.0 <= self.width_m <= 2.0, "length_m, width_m", (self.length_m, self.width_m), "at most 2.0")
        diagonal = math.hypot(self.length_m, self.width_m)
        require(diagonal == 0.0 or abs(2.0 * self.radius_m - diagonal) < 0.01, "radius_m", self.radius_m, f"half the diagonal, {diagonal / 2.0:.3f}")
        half = self.half_width_m
        require(self.wheels.track_m / 2 + 0.015 <= half, "wheels.track_m", self.wheels.track_m, "narrower than the body")
        require(self.cameras.offset_m < half, "cameras.offset_m", self.cameras.offset_m, "inside the body")

    @property
    def half_width_m(self) -> float:
        """From the middle to either side."""
        return self.width_m / 2 if self.width_m > 0.0 else self.radius_m

    @property
    def half_length_m(self) -> float:
        """From the middle to the front and to the rear."""
        return self.length_m / 2 if self.length_m > 0.0 else self.radius_m

    @property
    def footprint(self) -> tuple[tuple[float, float], ...]:
        """The corners of a rectangular body on the floor, counter-clockwise in base_link [m]; none of a round one."""
        if self.length_m == 0.0:
            return ()
        x, y = self.half_length_m, self.half_width_m
        return ((x, y), (-x, y), (-x, -y), (x, -y))

    def rig(self) -> CameraRig:
        """The cameras, optical frames relative to base_link."""
        c = self.cameras
        lens = CameraModel.from_fov if c.lens == "pinhole" else equidistant
        model = lens(c.width, c.height, math.radians(c.horizontal_fov_deg))
        cameras = []
        for name, degrees in zip(c.names, c.yaws_deg):
            yaw = math.radians(degrees)
            position = np.array([c.offset_m * math.cos(yaw), c.offset_m * math.sin(yaw), c.z_m])
            cameras.append(RigCamera(name, model, Pose3.from_rpy(0.0, 0.0, yaw, position) @ BODY_FROM_OPTICAL))
        return CameraRig(tuple(cameras))


ROBOT_GROUP = 4  # MuJoCo geom group of everything that belongs to the robot


def mjcf_from_robot(robot: RobotConfig, rig: CameraRig | None = None) -> str:
    """The robot as a MuJoCo model of its own, to be attached to a scene: body `base`, joints, velocity servos, IMU sensors.

    Cameras have their names; one with a fisheye is several, `<name>/<number>` for every face of `fisheye.views`.

    Args:
        robot: the description.
        rig: the cameras where they really are; by default where the description says.
    """
    w, reach = robot.wheels, robot.half_length_m - 0.06
    clearance, caster = 0.05, 0.03
    half = (robot.body_height_m - clearance) / 2
    mast = (robot.cameras.z_m + 0.05 - robot.body_height_m) / 2
    hull = f'type="cylinder" size="{robot.radius_m:g} {half:g}"'
    if robot.footprint:
        hull = f'type="box" size="{robot.half_length_m:g} {robot.half_width_m:g} {half:g}"'
    wheels = "".join(
        f'<body name="wheel_{side}" pos="0 {sign * w.track_m / 2:g} {w.radius_m:g}">'
        f'<joint name="joint_{side}" axis="0 1 0" damping="0.02" armature="0.002"/>'
        f'<geom name="wheel_{side}" type="sphere" size="{w.radius_m:g}" mass="0.4" '
        f'priority="1" condim="3" friction="0.8 0.005 0.0001" group="{ROBOT_GROUP}"/>'
        "</body>"
        for side, sign in (("left", 1), ("right", -1))
    )
    casters = "".join(
        f'<geom name="caster_{i}" type="sphere" size="{caster:g}" pos="{x:g} 0 {caster + 0.0005:g}" mass="0.1" '
        f'priority="2" condim="1" friction="0.001" group="{ROBOT_GROUP}"/>'
        for i, x in enumerate((reach, -reach))
    )
    cameras = "".join(_camera_xml(*view) for camera in (rig or robot.rig()).cameras for view in pinholes(camera))
    return f"""<mujoco model="{robot.name}">
<compiler angle="radian"/>
<worldbody><body name="base"><freejoint name="root"/>
<geom name="hull" {hull} pos="0 0 {clearance + half:g}"
 mass="{robot.mass_kg:g}" friction="0.3" rgba="0.15 0.17 0.22 1" group="{ROBOT_GROUP}"/>
<geom name="mast" type="cylinder" size="0.03 {mast:g}" pos="0 0 {robot.body_height_m + mast:g}"
 mass="0.5" friction="0.3" rgba="0.7 0.7 0.72 1" group="{ROBOT_GROUP}"/>
{casters}{wheels}<site name="imu" pos="0 0 {robot.imu.z_m:g}"/>
{cameras}
</body></worldbody>
<actuator>
<velocity name="servo_left" joint="joint_left" kv="2" forcerange="-8 8"/>
<velocity name="servo_right" joint="joint_right" kv="2" forcerange="-8 8"/>
</actuator>
<sensor><gyro name="gyro" site="imu"/><accelerometer name="accelerometer" site="imu"/></sensor>
</mujoco>"""


def pinholes(camera: RigCamera) -> list[tuple[str, CameraModel, Pose3]]:
    """What a renderer has to draw for a camera: name, pinhole model and base_from_cam of each view."""
    if camera.model.distortion_model != "equidistant":
        return [(camera.name, camera.model, camera.base_from_cam)]
    faces = enumerate(views(camera.model))
    return [(f"{camera.name}/{k}", face.model, camera.base_from_cam @ face.cam_from_face) for k, face in faces]


def _camera_xml(name: str, model: CameraModel, base_from_cam: Pose3) -> str:
    # A MuJoCo camera looks along its -z axis with +y up; its field of view is the vertical one.
    fovy = math.degrees(2.0 * math.atan(model.height / 2.0 / model.fy))
    axes = np.concatenate([base_from_cam.rotation[:, 0], -base_from_cam.rotation[:, 1]])
    position, xyaxes = (" ".join(f"{v:.9g}" for v in values) for values in (base_from_cam.translation, axes))
    return f'<camera name="{name}" pos="{position}" xyaxes="{xyaxes}" fovy="{fovy:.8g}"/>'
