"""Robots that differ from their description: cameras knocked askew, light and noise of real pictures, slip, late and lost images.

Everything follows from a seed, and from the camera and the time, never from the order of calls. What is published (the rig, the
wheels' radius and track) stays nominal; only what happens changes.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import cv2
import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray, UInt8Array
from astra.geometry import CameraRig, Pose3, RigCamera
from astra.sim.robot import RobotConfig

Range = tuple[float, float]  # low, high; drawn evenly between them once for each drive

# name: lowest, highest value either end may have
_BOUNDS: dict[str, Range] = {
    "exposure": (0.1, 10.0),
    "gamma": (0.3, 3.0),
    "white_balance": (0.3, 3.0),
    "drift_period_s": (1.0, 1000.0),
    "shot_noise": (0.0, 4.0),
    "read_noise": (0.0, 30.0),
    "exposure_time_s": (0.0, 0.1),
    "sensor_scale": (0.0, 20.0),
    "slip": (0.0, 0.5),
    "slip_events_per_min": (0.0, 30.0),
    "slip_event_s": (0.05, 5.0),
    "slip_event": (0.0, 5.0),
    "latency_s": (0.0, 2.0),
    "jitter_s": (0.0, 0.5),
    "drop_rate": (0.0, 0.9),
}


@dataclass(frozen=True, slots=True)
class RandomizationConfig:
    """How far things may differ. Pairs are ranges of which one value is drawn for each drive; single numbers are deviations."""

    camera_shift_m: float = 0.008  # standard deviation of each axis, drawn for each camera
    camera_turn_deg: float = 0.8
    exposure: Range = (0.65, 1.5)  # gain of linear light
    exposure_drift: float = 0.15  # relative swing of the gain during a drive
    drift_period_s: Range = (8.0, 40.0)
    gamma: Range = (0.85, 1.2)
    white_balance: Range = (0.88, 1.13)  # gain of red and of blue against green
    camera_spread: float = 0.04  # relative deviation of the gains from camera to camera
    shot_noise: Range = (0.0, 0.15)  # variance [grey levels²] for each grey level
    read_noise: Range = (0.0, 2.5)  # standard deviation [grey levels]
    exposure_time_s: Range = (0.002, 0.02)  # how long a picture is smeared by a turn
    sensor_scale: Range = (0.5, 3.0)  # of IMU noise and biases, and of wheel and track errors
    slip: Range = (0.0, 0.02)  # how much more the wheels turn than the base moves, always
    slip_events_per_min: Range = (0.0, 2.0)
    slip_event_s: Range = (0.2, 0.8)  # drawn for each event, as is the next
    slip_event: Range = (0.1, 0.6)
    latency_s: Range = (0.02, 0.12)  # from the stamp to the arrival of an image
    jitter_s: Range = (0.0, 0.02)  # greatest addition to it, drawn for each image
    drop_rate: Range = (0.0, 0.03)

    def __post_init__(self) -> None:
        for name, highest in (("camera_shift_m", 0.1), ("camera_turn_deg", 10.0), ("exposure_drift", 0.8), ("camera_spread", 0.3)):
            require(0.0 <= getattr(self, name) <= highest, name, getattr(self, name), f"between 0 and {highest:g}")
        for name, (lowest, highest) in _BOUNDS.items():
            low, high = getattr(self, name)
            require(lowest <= low <= high <= highest, name, (low, high), f"a range within {lowest:g} and {highest:g}, the lower end first")

    @staticmethod
    def none() -> RandomizationConfig:
        """Every error at nought and every gain at one: what comes out is as if nothing had been randomized."""
        zero, one = (0.0, 0.0), (1.0, 1.0)
        return RandomizationConfig(
            camera_shift_m=0.0, camera_turn_deg=0.0, exposure=one, exposure_drift=0.0, gamma=one, white_balance=one, camera_spread=0.0,
            shot_noise=zero, read_noise=zero, exposure_time_s=zero, sensor_scale=one, slip=zero, slip_events_per_min=zero,
            slip_event=zero, latency_s=zero, jitter_s=zero, drop_rate=zero,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RandomizedRobot:
    """One robot as it really is. `robot.rig()` is the rig that is published; `true_rig` is where its cameras look from."""

    robot: RobotConfig
    true_rig: CameraRig
    slip: WheelSlip
    pictures: ImagePipeline
    arrivals: Arrivals


def randomized(robot: RobotConfig, seed: int, config: RandomizationConfig | None = None) -> RandomizedRobot:
    """The robot of a seed: its sensors' errors scaled, its cameras moved, and what befalls its wheels and images."""
    require(seed >= 0, "randomize", seed, "at least 0")
    config = config or RandomizationConfig()
    rng = np.random.default_rng([seed, 0])
    imu_scale, wheel_scale = _draw(rng, config.sensor_scale), _draw(rng, config.sensor_scale)
    imu = {name: getattr(robot.imu, name) * imu_scale for name in (f.name for f in dataclasses.fields(robot.imu)) if _is_imu_error(name)}
    wheels = {name: getattr(robot.wheels, name) * wheel_scale for name in ("radius_error", "track_error")}
    real = dataclasses.replace(robot, imu=dataclasses.replace(robot.imu, **imu), wheels=dataclasses.replace(robot.wheels, **wheels))
    rig = robot.rig()
    cameras = tuple(_knocked(camera, config, rng) for camera in rig.cameras)
    return RandomizedRobot(real, CameraRig(cameras), WheelSlip(config, seed), ImagePipeline(config, rig, seed), Arrivals(config, rig, seed))


class ImagePipeline:
    """What a real camera does to a picture: exposure that drifts, colour cast, gamma, noise, and smear while the robot turns.

    Args:
        config: how much of it.
        rig: the cameras; sizes and focal lengths are needed.
        seed: of the drive.
    """

    def __init__(self, config: RandomizationConfig, rig: CameraRig, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self._seed = seed
        self._focal_px = {camera.name: camera.model.fx for camera in rig.cameras}
        self._numbers = {name: number for number, name in enumerate(rig.names)}
        tint = np.array([_draw(rng, config.white_balance), 1.0, _draw(rng, config.white_balance)])
        spread = np.maximum(1.0 + config.camera_spread * rng.standard_normal((len(rig.names), 3)), 0.2)
        self._gains: FloatArray = _draw(rng, config.exposure) * tint * spread  # of linear light: camera, colour
        self._drift, self._period_s = config.exposure_drift, _draw(rng, config.drift_period_s)
        self._phases: FloatArray = rng.uniform(0.0, 2.0 * math.pi, 2)
        self._gamma = _draw(rng, config.gamma)
        self._exposure_s = _draw(rng, config.exposure_time_s)
        shot, read = _draw(rng, config.shot_noise), _draw(rng, config.read_noise)
        self._is_noisy = shot > 0.0 or read > 0.0
        self._deviation: Float32Array = np.sqrt(shot * np.arange(256.0) + read**2).astype(np.float32)
        self._linear: FloatArray = (np.arange(256.0) / 255.0) ** 2.2
        # Noise is cut at random from one sheet: drawing it anew would cost more than the rendering.
        size = (max(c.model.height for c in rig.cameras) + _SPARE, max(c.model.width for c in rig.cameras) + _SPARE, 3)
        self._noise: Float32Array = rng.standard_normal(size, dtype=np.float32) if self._is_noisy else np.zeros((0, 0, 3), np.float32)

    def apply(self, rgb: UInt8Array, camera: str, time_s: float, yaw_rate_radps: float) -> UInt8Array:
        """The picture (H, W, 3) uint8 as the camera gives it, from the ideal one."""
        blurred = self._smear(rgb, self._focal_px[camera] * abs(yaw_rate_radps) * self._exposure_s)
        exposed: UInt8Array = np.asarray(cv2.LUT(blurred, self._curve(self._numbers[camera], time_s)), np.uint8)
        return self._grain(exposed, camera, time_s) if self._is_noisy else exposed

    def _smear(self, rgb: UInt8Array, length_px: float) -> UInt8Array:
        """Blend along the row over a length: a box whose ends count in part."""
        if length_px <= 1.1:
            return rgb
        reach = math.ceil((length_px - 1.0) / 2.0)
        box = np.ones(2 * reach + 1, np.float32)
        box[0] = box[-1] = (length_px - (2 * reach - 1)) / 2.0
        return np.asarray(cv2.sepFilter2D(rgb, -1, box / box.sum(), _ONE, borderType=cv2.BORDER_REPLICATE), np.uint8)

    def _curve(self, number: int, time_s: float) -> UInt8Array:
        """Grey levels in to grey levels out (1, 256, 3) for a camera at a time."""
        turn = 2.0 * math.pi * time_s / self._period_s
        swing = 0.6 * math.sin(turn + self._phases[0]) + 0.4 * math.sin(2.7 * turn + self._phases[1])
        light = np.minimum(self._linear[:, None] * self._gains[number] * (1.0 + self._drift * swing), 1.0)
        curve: UInt8Array = np.round(255.0 * light ** (self._gamma / 2.2)).astype(np.uint8)
        return curve[None]

    def _grain(self, rgb: UInt8Array, camera: str, time_s: float) -> UInt8Array:
        row, column = _rng_at(self._seed, 2, self._numbers[camera], time_s).integers(0, _SPARE, 2)
        sheet = self._noise[row : row + rgb.shape[0], column : column + rgb.shape[1]]
        grain = cv2.multiply(cv2.LUT(rgb, self._deviation), sheet)
        return np.asarray(cv2.add(rgb, grain, dtype=cv2.CV_8U), np.uint8)


class WheelSlip:
    """How much more each wheel turns than the ground passes: a little always, a lot in short events."""

    def __init__(self, config: RandomizationConfig, seed: int) -> None:
        rng = np.random.default_rng([seed, 3])
        self._seed, self._config = seed, config
        self._always: FloatArray = _draw(rng, config.slip) * rng.uniform(0.7, 1.3, 2)
        self._chance = min(_draw(rng, config.slip_events_per_min) / 60.0 * _SLOT_S, 1.0)

    def gains(self, time_s: float) -> FloatArray:
        """Wheel travel over ground travel (2,), left and right, at a time; at least 1."""
        slot = math.floor(time_s / _SLOT_S)
        start_s, length_s, extra = self._event(slot)
        if start_s <= time_s - slot * _SLOT_S < start_s + length_s:
            return 1.0 + self._always + extra
        return 1.0 + self._always

    def _event(self, slot: int) -> tuple[float, float, FloatArray]:
        """Start in its slot of time [s], length [s] and extra slip (2,) of the event in a slot; length 0 where there is none."""
        if self._chance == 0.0:
            return 0.0, 0.0, np.zeros(2)
        rng = np.random.default_rng([self._seed, 4, max(slot, 0)])
        happens = rng.random() < self._chance
        length_s = min(_draw(rng, self._config.slip_event_s), _SLOT_S)
        # One wheel slips more than the other: that is what turns the odometry.
        extra = _draw(rng, self._config.slip_event) * rng.permutation([1.0, rng.uniform(0.0, 1.0)])
        return rng.uniform(0.0, _SLOT_S - length_s), length_s if happens else 0.0, extra


class Arrivals:
    """When images arrive, if they do."""

    def __init__(self, config: RandomizationConfig, rig: CameraRig, seed: int) -> None:
        rng = np.random.default_rng([seed, 5])
        self._seed = seed
        self._numbers = {name: number for number, name in enumerate(rig.names)}
        self._latency_s, self._jitter_s, self._drop_rate = (_draw(rng, r) for r in (config.latency_s, config.jitter_s, config.drop_rate))

    def received_ns(self, camera: str, stamp_ns: int) -> int | None:
        """When the image of a camera taken at the stamp [ns] arrives [ns]; None if it is lost."""
        lost, late = _rng_at(self._seed, 6, self._numbers[camera], stamp_ns * 1e-9).random(2)
        return None if lost < self._drop_rate else stamp_ns + round((self._latency_s + self._jitter_s * late) * 1e9)


_SPARE = 64  # rows and columns by which the sheet of noise is larger than a picture
_SLOT_S = 10.0  # at most one slip event in each
_ONE: Float32Array = np.ones(1, np.float32)


def _draw(rng: np.random.Generator, between: Range) -> float:
    return float(rng.uniform(*between))


def _rng_at(seed: int, stream: int, camera: int, time_s: float) -> np.random.Generator:
    return np.random.default_rng([seed, stream, camera, max(round(time_s * 1e6), 0)])


def _is_imu_error(name: str) -> bool:
    return name.startswith(("gyro_", "accel_"))


def _knocked(camera: RigCamera, config: RandomizationConfig, rng: np.random.Generator) -> RigCamera:
    """The camera where it really is: shifted in the base's axes, turned about its own."""
    shift = config.camera_shift_m * rng.standard_normal(3)
    roll, pitch, yaw = (float(v) for v in np.radians(config.camera_turn_deg) * rng.standard_normal(3))
    turned = camera.base_from_cam @ Pose3.from_rpy(roll, pitch, yaw)
    return dataclasses.replace(camera, base_from_cam=Pose3(turned.rotation, turned.translation + shift))
