"""Between ROS messages and the core's value types; no copies on the image path beyond the one that changes layout."""

from __future__ import annotations

import array
import sys
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Transform, TransformStamped, Vector3
from nav_msgs.msg import OccupancyGrid, Odometry, Path
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, PointCloud2, PointField
from sensor_msgs.msg import LaserScan as LaserScanMsg

from astra.core.errors import BadInputError
from astra.core.types import AnyArray, CameraFrame, FloatArray, ImuSample, LaserScan, UInt8Array, WheelTwist
from astra.geometry import CameraModel, Pose2, Pose3

# encoding → (dtype, channels, how to get RGB)
_ENCODINGS: dict[str, tuple[type[np.generic], int, str]] = {
    "rgb8": (np.uint8, 3, "rgb"),
    "bgr8": (np.uint8, 3, "bgr"),
    "rgba8": (np.uint8, 4, "rgb"),
    "bgra8": (np.uint8, 4, "bgr"),
    "mono8": (np.uint8, 1, "grey"),
    "8UC1": (np.uint8, 1, "grey"),
    "8UC3": (np.uint8, 3, "bgr"),
    "mono16": (np.uint16, 1, "grey16"),
}
_DEPTH_ENCODINGS: dict[str, type[np.generic]] = {"16UC1": np.uint16, "32FC1": np.float32}


def ns_from_stamp(stamp: Any) -> int:
    """builtin_interfaces/Time to integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def stamp_from_ns(stamp_ns: int) -> Time:
    """Integer nanoseconds to builtin_interfaces/Time."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def _pixels(message: Any, dtype: type[np.generic], channels: int) -> AnyArray:
    """A view of the message's pixels (H, W, C), step padding removed, in this machine's byte order."""
    kind = np.dtype(dtype)
    width, height, step = int(message.width), int(message.height), int(message.step)
    row = width * channels * kind.itemsize
    if width <= 0 or height <= 0 or step < row or len(message.data) < step * (height - 1) + row:
        raise BadInputError(f"image of {width}×{height} {message.encoding} with step {step} does not fit its {len(message.data)} bytes")
    if kind.itemsize > 1 and bool(message.is_bigendian) != (sys.byteorder == "big"):
        kind = kind.newbyteorder()
    flat = np.frombuffer(message.data, np.uint8)
    if len(flat) < step * height:
        flat = np.pad(flat, (0, step * height - len(flat)))
    rows = flat[: step * height].reshape(height, step)[:, :row]
    pixels = np.ascontiguousarray(rows).view(kind).reshape(height, width, channels)
    return pixels if kind.isnative else pixels.astype(kind.newbyteorder())


def rgb_from_image(message: Any) -> UInt8Array:
    """sensor_msgs/Image to (H, W, 3) uint8 RGB; encodings we do not know go to the system's cv_bridge where there is one.

    Raises:
        BadInputError: the encoding is unknown, or the data do not fit the size.
    """
    if message.encoding not in _ENCODINGS:
        return _rgb_from_cv_bridge(message)
    dtype, channels, order = _ENCODINGS[message.encoding]
    pixels = _pixels(message, dtype, channels)
    if order == "grey16":
        pixels, order = (pixels >> 8).astype(np.uint8), "grey"
    if order == "grey":
        return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    return np.ascontiguousarray(pixels[..., 2::-1] if order == "bgr" else pixels[..., :3])


def _rgb_from_cv_bridge(message: Any) -> UInt8Array:
    known = ", ".join(_ENCODINGS)
    try:
        from cv_bridge import CvBridge
    except ImportError as error:
        raise BadInputError(f"image encoding {message.encoding!r} is not one of {known}, and cv_bridge is not installed") from error
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, "rgb8"), dtype=np.uint8)
    except Exception as error:
        raise BadInputError(f"image encoding {message.encoding!r}: {error}") from error


def depth_from_image(message: Any) -> FloatArray:
    """A 16UC1 [mm] or 32FC1 [m] depth image to (H, W) float [m]; invalid pixels are NaN.

    Raises:
        BadInputError: another encoding.
    """
    if message.encoding not in _DEPTH_ENCODINGS:
        raise BadInputError(f"depth encoding {message.encoding!r} is not one of {', '.join(_DEPTH_ENCODINGS)}")
    pixels = _pixels(message, _DEPTH_ENCODINGS[message.encoding], 1)[..., 0]
    depth: FloatArray = pixels.astype(np.float64) * (0.001 if message.encoding == "16UC1" else 1.0)
    depth[(depth <= 0) | ~np.isfinite(depth)] = np.nan
    return depth


def rgb_from_compressed(message: Any) -> UInt8Array:
    """sensor_msgs/CompressedImage (JPEG, PNG) to (H, W, 3) uint8 RGB.

    Raises:
        BadInputError: the bytes are no image.
    """
    import cv2  # here: most nodes handle no pictures, and come back sooner without it

    decoded = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR) if len(message.data) else None
    if decoded is None:
        raise BadInputError(f"compressed image ({message.format!r}, {len(message.data)} bytes) cannot be decoded")
    return np.ascontiguousarray(decoded[..., ::-1])


def image_from_rgb(rgb: UInt8Array, stamp_ns: int, frame_id: str) -> Image:
    """(H, W, 3) uint8 RGB to sensor_msgs/Image; an array.array fills the message without per-byte checks."""
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8", is_bigendian=0, step=rgb.shape[1] * 3)
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), frame_id
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(rgb).data.cast("B"))
    message.data = data
    return message


def compressed_from_rgb(rgb: UInt8Array, stamp_ns: int, frame_id: str, quality: int = 90) -> CompressedImage:
    """(H, W, 3) uint8 RGB to a JPEG sensor_msgs/CompressedImage."""
    import cv2

    ok, jpeg = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise BadInputError(f"an image of shape {rgb.shape} cannot be encoded as JPEG")
    message = CompressedImage(format="rgb8; jpeg compressed bgr8")
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), frame_id
    data = array.array("B")
    data.frombytes(jpeg.data.cast("B"))
    message.data = data
    return message


def frame_from_image(message: Any, camera: str) -> CameraFrame:
    """Image or CompressedImage to a `CameraFrame`."""
    rgb = rgb_from_compressed(message) if hasattr(message, "format") else rgb_from_image(message)
    return CameraFrame(ns_from_stamp(message.header.stamp), camera, rgb)


def model_from_camera_info(message: Any) -> CameraModel:
    """sensor_msgs/CameraInfo to a camera model.

    Raises:
        BadInputError: the camera is not calibrated or its lens model is unknown.
    """
    info = {
        "image_width": message.width,
        "image_height": message.height,
        "camera_matrix": {"data": list(message.k)},
        "distortion_model": message.distortion_model,
        "distortion_coefficients": {"data": list(message.d)},
    }
    return CameraModel.from_camera_info(info, f"camera_info of {message.header.frame_id or 'camera'}")


def camera_info_from_model(model: CameraModel, stamp_ns: int, frame_id: str) -> CameraInfo:
    """A camera model to sensor_msgs/CameraInfo."""
    info = model.to_camera_info()
    message = CameraInfo(width=model.width, height=model.height, distortion_model=model.distortion_model)
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), frame_id
    message.k = info["camera_matrix"]["data"]
    message.d = info["distortion_coefficients"]["data"]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [model.fx, 0.0, model.cx, 0.0, 0.0, model.fy, model.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def imu_from_msg(message: Any) -> ImuSample:
    """sensor_msgs/Imu to an `ImuSample`."""
    w, a = message.angular_velocity, message.linear_acceleration
    return ImuSample(ns_from_stamp(message.header.stamp), np.array([w.x, w.y, w.z]), np.array([a.x, a.y, a.z]))


def imu_to_msg(sample: ImuSample, frame_id: str) -> Imu:
    """An `ImuSample` to sensor_msgs/Imu; the orientation is declared unknown (covariance[0] = −1)."""
    message = Imu()
    message.header.stamp, message.header.frame_id = stamp_from_ns(sample.stamp_ns), frame_id
    message.orientation_covariance[0] = -1.0
    message.angular_velocity = _vector(sample.angular_velocity)
    message.linear_acceleration = _vector(sample.linear_acceleration)
    return message


def wheel_from_odometry(message: Any) -> WheelTwist:
    """The twist of nav_msgs/Odometry to a `WheelTwist`; its pose is not used."""
    twist = message.twist.twist
    return WheelTwist(ns_from_stamp(message.header.stamp), float(twist.linear.x), float(twist.angular.z))


def wheel_to_odometry(twist: WheelTwist, frame_id: str = "wheel_odom", child_frame_id: str = "base_link") -> Odometry:
    """A `WheelTwist` to nav_msgs/Odometry; the pose stays zero and says so by its covariance."""
    message = Odometry(child_frame_id=child_frame_id)
    message.header.stamp, message.header.frame_id = stamp_from_ns(twist.stamp_ns), frame_id
    message.twist.twist.linear.x, message.twist.twist.angular.z = twist.linear_mps, twist.angular_radps
    message.pose.covariance[0] = -1.0
    return message


def scan_from_msg(message: Any) -> LaserScan:
    """sensor_msgs/LaserScan to a `LaserScan`; readings outside [range_min, range_max] and NaN become misses (+inf).

    Raises:
        BadInputError: an increment of zero, or no beams.
    """
    ranges = np.array(message.ranges, dtype=np.float32)
    if len(ranges) == 0 or not np.isfinite(message.angle_increment) or message.angle_increment == 0.0:
        raise BadInputError(f"scan with {len(ranges)} beams and increment {message.angle_increment} cannot be used")
    with np.errstate(invalid="ignore"):
        ranges[~((ranges >= message.range_min) & (ranges <= message.range_max))] = np.inf
    return LaserScan(
        ns_from_stamp(message.header.stamp), message.header.frame_id, ranges, float(message.angle_min), float(message.angle_increment),
        float(message.range_min), float(message.range_max),
    )  # fmt: skip


def scan_to_msg(scan: LaserScan) -> LaserScanMsg:
    """A `LaserScan` to sensor_msgs/LaserScan."""
    message = LaserScanMsg(angle_min=scan.angle_min_rad, angle_increment=scan.angle_increment_rad, range_min=scan.range_min_m, range_max=scan.range_max_m)
    message.angle_max = scan.angle_min_rad + scan.angle_increment_rad * (len(scan.ranges) - 1)
    message.header.stamp, message.header.frame_id = stamp_from_ns(scan.stamp_ns), scan.frame
    data = array.array("f")
    data.frombytes(np.ascontiguousarray(scan.ranges, dtype=np.float32).data.cast("B"))
    message.ranges = data
    return message


def pose2_from_pose(message: Any) -> Pose2:
    """geometry_msgs/Pose to its planar part."""
    return pose3_from_pose(message).pose2()


def pose_from_pose2(pose: Pose2) -> Pose:
    """A planar pose to geometry_msgs/Pose."""
    half = pose.yaw / 2.0
    return Pose(position=Point(x=pose.x, y=pose.y, z=0.0), orientation=Quaternion(x=0.0, y=0.0, z=float(np.sin(half)), w=float(np.cos(half))))


def pose3_from_pose(message: Any) -> Pose3:
    """geometry_msgs/Pose to `Pose3`.

    Raises:
        BadInputError: a component is not finite, or the quaternion is zero.
    """
    p, q = message.position, message.orientation
    values = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
    if not np.all(np.isfinite(values)) or not np.any(values[3:]):
        raise BadInputError("pose holds a value that is not finite, or a zero quaternion")
    return Pose3.from_quaternion(values[3:], values[:3])


def pose_from_pose3(pose: Pose3) -> Pose:
    """`Pose3` to geometry_msgs/Pose."""
    x, y, z, w = (float(v) for v in pose.quaternion_xyzw())
    return Pose(position=Point(**_xyz(pose.translation)), orientation=Quaternion(x=x, y=y, z=z, w=w))


def pose_stamped(pose: Pose2, stamp_ns: int, frame_id: str) -> PoseStamped:
    """A planar pose to geometry_msgs/PoseStamped."""
    message = PoseStamped(pose=pose_from_pose2(pose))
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), frame_id
    return message


def path_from_poses(poses: AnyArray, stamp_ns: int, frame_id: str) -> Path:
    """Poses (K, 3) of x, y [m], yaw [rad] to nav_msgs/Path."""
    message = Path()
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), frame_id
    message.poses = [pose_stamped(Pose2(float(x), float(y), float(yaw)), stamp_ns, frame_id) for x, y, yaw in poses]
    return message


def poses_from_path(message: Any) -> FloatArray:
    """nav_msgs/Path to poses (K, 3).

    Raises:
        BadInputError: a pose is not finite.
    """
    rows = [pose2_from_pose(stamped.pose) for stamped in message.poses]
    return np.array([(pose.x, pose.y, pose.yaw) for pose in rows], dtype=np.float64).reshape(-1, 3)


def line_points(points: AnyArray) -> list[Point]:
    """Points (N, 2) [m] on the floor as geometry_msgs/Point."""
    return [Point(x=float(x), y=float(y), z=0.0) for x, y in points]


def cloud_message(points: AnyArray, stamp_ns: int, frame_id: str) -> PointCloud2:
    """Points (N, 3) [m] to sensor_msgs/PointCloud2 with float32 x, y, z."""
    message = PointCloud2(height=1, width=len(points), point_step=12, row_step=12 * len(points), is_dense=True, is_bigendian=sys.byteorder == "big")
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), frame_id
    message.fields = [PointField(name=name, offset=4 * k, datatype=PointField.FLOAT32, count=1) for k, name in enumerate("xyz")]
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(points, dtype=np.float32).data.cast("B") if len(points) else b"")
    message.data = data
    return message


def grid_message(cells: AnyArray, resolution_m: float, origin: Pose2, stamp_ns: int, frame_id: str) -> OccupancyGrid:
    """Cells (Y, X) int8 (−1 unknown, 0 free … 100 occupied), lower-left corner at `origin`, to nav_msgs/OccupancyGrid."""
    message = OccupancyGrid()
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), frame_id
    message.info.resolution, message.info.height, message.info.width = resolution_m, cells.shape[0], cells.shape[1]
    message.info.origin = pose_from_pose2(origin)
    data = array.array("b")
    data.frombytes(np.ascontiguousarray(cells, dtype=np.int8).data.cast("B"))
    message.data = data
    return message


def transform_from_pose3(pose: Pose3) -> Transform:
    """`Pose3` to geometry_msgs/Transform."""
    x, y, z, w = (float(v) for v in pose.quaternion_xyzw())
    return Transform(translation=_vector(pose.translation), rotation=Quaternion(x=x, y=y, z=z, w=w))


def pose3_from_transform(message: Any) -> Pose3:
    """geometry_msgs/Transform to `Pose3`."""
    t, q = message.translation, message.rotation
    return Pose3.from_quaternion(np.array([q.x, q.y, q.z, q.w]), np.array([t.x, t.y, t.z]))


def transform_stamped(parent: str, child: str, pose: Pose3, stamp_ns: int) -> TransformStamped:
    """`parent_from_child` to geometry_msgs/TransformStamped."""
    message = TransformStamped(child_frame_id=child, transform=transform_from_pose3(pose))
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), parent
    return message


def _xyz(values: AnyArray) -> dict[str, float]:
    return {"x": float(values[0]), "y": float(values[1]), "z": float(values[2])}


def _vector(values: AnyArray) -> Vector3:
    return Vector3(**_xyz(values))
