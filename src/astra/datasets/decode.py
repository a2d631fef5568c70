"""ROS messages, as a bag holds them, to the project's types."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import AnyArray, Float32Array, FloatArray, ImuSample, LaserScan, Scene, UInt8Array, WheelTwist
from astra.geometry import CameraModel, Pose3

# Encoding → bytes of one pixel and OpenCV's way to RGB. OpenCV names a Bayer pattern by its second row, ROS by its first.
_COLOURS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None), "bgr8": (3, cv2.COLOR_BGR2RGB), "8UC3": (3, cv2.COLOR_BGR2RGB), "rgba8": (4, cv2.COLOR_RGBA2RGB), "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB), "8UC1": (1, cv2.COLOR_GRAY2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY), "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY), "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUY2), "yuyv": (2, cv2.COLOR_YUV2RGB_YUY2),
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2RGB), "bayer_bggr8": (1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2RGB), "bayer_grbg8": (1, cv2.COLOR_BayerGB2RGB),
}  # fmt: skip
_DEPTHS: dict[str, tuple[str, float]] = {"16UC1": ("u2", 1e-3), "mono16": ("u2", 1e-3), "32FC1": ("f4", 1.0)}  # element, metres of one unit (REP 118)


def header_ns(message: Any) -> int:
    """The stamp of a message's header [ns]."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def rgb_from_message(message: Any, where: str) -> UInt8Array:
    """Image or CompressedImage (any bag version) to (H, W, 3) uint8 RGB.

    Raises:
        BadInputError: the bytes are no image, or the encoding is unknown.
    """
    if hasattr(message, "format"):
        decoded = _decompress(message, cv2.IMREAD_COLOR, where)
        return np.ascontiguousarray(decoded[..., ::-1])
    if message.encoding not in _COLOURS:
        raise BadInputError(f"{where}: image encoding {message.encoding!r} is not one of {', '.join(_COLOURS)}")
    channels, code = _COLOURS[message.encoding]
    pixels = _pixels(message, channels, where).reshape(message.height, message.width, channels)
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code))


def depth_from_message(message: Any, where: str) -> Float32Array:
    """Depth along the optical axis (H, W) float32 [m], 0 where nothing was measured, from Image or CompressedImage (PNG, 16 bits, mm).

    Raises:
        BadInputError: the bytes are no depth image.
    """
    if hasattr(message, "format"):
        decoded = _decompress(message, cv2.IMREAD_UNCHANGED, where)
        if decoded.ndim != 2 or decoded.dtype != np.uint16:
            raise BadInputError(f"{where}: a compressed depth image must be a PNG of one channel of 16 bits")
        return decoded.astype(np.float32) * np.float32(1e-3)
    if message.encoding not in _DEPTHS:
        raise BadInputError(f"{where}: depth encoding {message.encoding!r} is not one of {', '.join(_DEPTHS)}")
    element, unit = _DEPTHS[message.encoding]
    kind = np.dtype((">" if message.is_bigendian else "<") + element)
    metres = _pixels(message, kind.itemsize, where).view(kind).reshape(message.height, message.width).astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(metres), metres, np.float32(0.0))


def imu_from_message(message: Any, stamp_ns: int) -> ImuSample:
    """sensor_msgs/Imu."""
    return ImuSample(stamp_ns, xyz(message.angular_velocity), xyz(message.linear_acceleration))


def wheel_from_message(message: Any, stamp_ns: int) -> WheelTwist:
    """nav_msgs/Odometry, its twist alone."""
    return WheelTwist(stamp_ns, float(message.twist.twist.linear.x), float(message.twist.twist.angular.z))


def scan_from_message(message: Any, stamp_ns: int) -> LaserScan:
    """sensor_msgs/LaserScan; what lies outside the sensor's range becomes a miss."""
    ranges = np.array(message.ranges, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        ranges[~((ranges >= message.range_min) & (ranges <= message.range_max))] = np.inf
    m = message
    return LaserScan(stamp_ns, m.header.frame_id, ranges, float(m.angle_min), float(m.angle_increment), float(m.range_min), float(m.range_max))


def scene_from_message(message: Any, stamp_ns: int, *, in_contact: bool) -> Scene:
    """The simulator's nav_msgs/Odometry."""
    twist = message.twist.twist
    return Scene(stamp_ns, pose_from_message(message.pose.pose).matrix(), float(twist.linear.x), float(twist.angular.z), in_contact)


def pose_from_message(pose: Any) -> Pose3:
    """geometry_msgs/Pose."""
    return Pose3.from_quaternion(xyzw(pose.orientation), xyz(pose.position))


def camera_from_message(m: Any, where: str) -> CameraModel:
    """sensor_msgs/CameraInfo of either ROS."""
    info = {
        "image_width": m.width, "image_height": m.height, "camera_matrix": {"data": list(m.k if hasattr(m, "k") else m.K)},
        "distortion_model": m.distortion_model, "distortion_coefficients": {"data": list(m.d if hasattr(m, "d") else m.D)},
    }  # fmt: skip
    return CameraModel.from_camera_info(info, where)


def xyz(v: Any) -> FloatArray:
    """Vector3 or Point (3,)."""
    return np.array([v.x, v.y, v.z], dtype=np.float64)


def xyzw(q: Any) -> FloatArray:
    """Quaternion (4,)."""
    return np.array([q.x, q.y, q.z, q.w], dtype=np.float64)



def _decompress(message: Any, flags: int, where: str) -> AnyArray:
    decoded = cv2.imdecode(np.asarray(message.data, dtype=np.uint8), flags) if len(message.data) else None
    if decoded is None:
        raise BadInputError(f"{where}: a compressed image cannot be decoded")
    return np.asarray(decoded)


def _pixels(message: Any, bytes_per_pixel: int, where: str) -> UInt8Array:
    """The image's rows without their padding: (H, W · bytes_per_pixel) uint8."""
    row = message.width * bytes_per_pixel
    if len(message.data) < message.step * (message.height - 1) + row or message.step < row:
        raise BadInputError(f"{where}: an image's data do not fit its size")
    data = np.asarray(message.data, dtype=np.uint8)
    data = np.pad(data, (0, max(message.step * message.height - len(data), 0)))
    return np.ascontiguousarray(data[: message.step * message.height].reshape(message.height, message.step)[:, :row])
