import array
import math
import sys

import numpy as np
import pytest
from geometry_msgs.msg import Pose
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from sensor_msgs.msg import LaserScan as LaserScanMsg

from astra.core.errors import BadInputError
from astra.core.types import ImuSample, LaserScan, WheelTwist
from astra.geometry import CameraModel, Pose2, Pose3
from astra.navigation.learned import Samples
from astra.ros import conversions as c
from astra.ros.local_views import obstacle_cloud, sample_markers

pytestmark = pytest.mark.ros
RGB = np.random.default_rng(3).integers(0, 256, (5, 7, 3), dtype=np.uint8)
OTHER_ENDIAN = ">" if sys.byteorder == "little" else "<"


def image(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool | None = None) -> Image:
    """A message as a driver would fill it: rows padded by `padding` bytes."""
    if big_endian is not None:
        pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = [row.tobytes() + b"\xaa" * padding for row in pixels]
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=len(rows[0]), is_bigendian=int(bool(big_endian)))
    message.data = array.array("B", b"".join(rows))
    return message


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, axis=2)


@pytest.mark.parametrize("padding", [0, 5])
def test_every_encoding_becomes_rgb(padding: int) -> None:
    alpha = np.full((*RGB.shape[:2], 1), 9, np.uint8)
    red = RGB[..., 0]
    cases = {
        "rgb8": (RGB, RGB), "bgr8": (RGB[..., ::-1], RGB), "8UC3": (RGB[..., ::-1], RGB), "rgba8": (np.concatenate([RGB, alpha], 2), RGB),
        "bgra8": (np.concatenate([RGB[..., ::-1], alpha], 2), RGB), "mono8": (red, grey(red)), "8UC1": (red, grey(red)),
    }  # fmt: skip
    for encoding, (pixels, expected) in cases.items():
        rgb = c.rgb_from_image(image(pixels, encoding, padding))
        assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous
        np.testing.assert_array_equal(rgb, expected, err_msg=encoding)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 4])
def test_byte_order_and_padding_of_wide_pixels(big_endian: bool, padding: int) -> None:
    millimetres = np.array([[1000, 0, 65535], [258, 1, 40000]], np.uint16)
    depth = c.depth_from_image(image(millimetres, "16UC1", padding, big_endian))
    np.testing.assert_allclose(depth, [[1.0, np.nan, 65.535], [0.258, 0.001, 40.0]])
    metres = np.array([[1.5, np.inf], [np.nan, -1.0]], np.float32)
    np.testing.assert_allclose(c.depth_from_image(image(metres, "32FC1", padding, big_endian)), [[1.5, np.nan], [np.nan, np.nan]])
    wide = np.array([[0x1234, 0xFF00]], np.uint16)
    np.testing.assert_array_equal(c.rgb_from_image(image(wide, "mono16", padding, big_endian))[..., 0], [[0x12, 0xFF]])


@pytest.mark.parametrize(
    ("change", "named"),
    [({"encoding": "bayer_rggb8"}, "bayer_rggb8"), ({"step": 3}, "step 3"), ({"width": 0}, "0×"), ({"height": 50}, "bytes"), ({"encoding": ""}, "''")],
)
def test_an_image_that_cannot_be_meant_is_refused_by_name(change: dict, named: str) -> None:
    message = image(RGB, "rgb8")
    for key, value in change.items():
        setattr(message, key, value)
    with pytest.raises(BadInputError, match=named):
        c.rgb_from_image(message)


def test_a_colour_image_is_no_depth() -> None:
    with pytest.raises(BadInputError, match="rgb8"):
        c.depth_from_image(image(RGB, "rgb8"))


def test_rgb_survives_the_round_trip() -> None:
    message = c.image_from_rgb(RGB, 1_234_567_890_123, "front_optical_frame")
    assert (c.ns_from_stamp(message.header.stamp), message.header.frame_id, message.step) == (1_234_567_890_123, "front_optical_frame", 21)
    np.testing.assert_array_equal(c.rgb_from_image(message), RGB)
    flipped = RGB[:, ::-1]  # not contiguous
    np.testing.assert_array_equal(c.rgb_from_image(c.image_from_rgb(flipped, 0, "f")), flipped)


def test_jpeg_keeps_the_colours_and_their_order() -> None:
    smooth = np.zeros((32, 48, 3), np.uint8)
    smooth[..., 0], smooth[..., 2] = 220, 30
    back = c.rgb_from_compressed(c.compressed_from_rgb(smooth, 5, "f"))
    assert np.abs(back.astype(int) - smooth).max() < 8
    frame = c.frame_from_image(c.compressed_from_rgb(smooth, 5, "f"), "front")
    assert (frame.stamp_ns, frame.camera, frame.rgb.shape) == (5, "front", smooth.shape)


@pytest.mark.parametrize("data", [b"", b"not a jpeg"])
def test_broken_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(BadInputError, match="cannot be decoded"):
        c.rgb_from_compressed(CompressedImage(format="jpeg", data=array.array("B", data)))


@settings(deadline=None)
@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_round_trip(stamp_ns: int) -> None:
    assert c.ns_from_stamp(c.stamp_from_ns(stamp_ns)) == stamp_ns


@pytest.mark.parametrize(("model", "lens"), [("plumb_bob", (0.1, -0.2, 1e-3, 2e-3, 0.05)), ("equidistant", (0.01, 0.02, 0.0, -0.01)), ("plumb_bob", ())])
def test_cameras_round_trip(model: str, lens: tuple[float, ...]) -> None:
    camera = CameraModel(224, 160, 112.0, 113.0, 111.5, 79.5, model, lens)
    back = c.model_from_camera_info(c.camera_info_from_model(camera, 0, "f"))
    pixels = np.array([[0.0, 0.0], [100.0, 50.0], [223.0, 159.0]])
    np.testing.assert_allclose(back.unproject(pixels), camera.unproject(pixels))


def test_an_uncalibrated_camera_is_refused() -> None:
    with pytest.raises(BadInputError, match="calibrated"):
        c.model_from_camera_info(CameraInfo(width=10, height=10, distortion_model="plumb_bob"))
    message = c.camera_info_from_model(CameraModel(10, 10, 5.0, 5.0, 4.5, 4.5), 0, "f")
    message.distortion_model = "mystery"
    message.d = [0.1] * 5
    with pytest.raises(BadInputError, match="mystery"):
        c.model_from_camera_info(message)


def test_imu_and_wheel_round_trip_and_declare_what_they_do_not_know() -> None:
    sample = ImuSample(77, np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, 9.8]))
    message = c.imu_to_msg(sample, "imu_link")
    back = c.imu_from_msg(message)
    assert back.stamp_ns == 77 and message.orientation_covariance[0] == -1.0
    np.testing.assert_array_equal(back.angular_velocity, sample.angular_velocity)
    np.testing.assert_array_equal(back.linear_acceleration, sample.linear_acceleration)
    twist = WheelTwist(78, 0.4, -0.1)
    odometry = c.wheel_to_odometry(twist)
    assert c.wheel_from_odometry(odometry) == twist
    assert (odometry.pose.pose.position.x, odometry.pose.pose.position.y) == (0.0, 0.0)


def test_scans_round_trip_and_readings_out_of_range_are_misses() -> None:
    ranges = np.array([0.05, 0.5, 9.9, 10.5, np.inf, np.nan], np.float32)
    scan = LaserScan(9, "lidar", ranges, -1.0, 0.2, 0.1, 10.0)
    back = c.scan_from_msg(c.scan_to_msg(scan))
    np.testing.assert_array_equal(back.ranges, np.array([np.inf, 0.5, 9.9, np.inf, np.inf, np.inf], np.float32))
    np.testing.assert_allclose(back.angles(), scan.angles(), atol=1e-6)
    assert (back.frame, back.stamp_ns) == ("lidar", 9)
    with pytest.raises(BadInputError, match="beams"):
        c.scan_from_msg(LaserScanMsg(angle_increment=0.1))
    with pytest.raises(BadInputError, match="increment"):
        c.scan_from_msg(LaserScanMsg(ranges=array.array("f", [1.0])))


angles = st.floats(-3.1, 3.1)
metres = st.floats(-100.0, 100.0)


@settings(max_examples=50, deadline=None)
@given(angles, st.floats(-1.5, 1.5), angles, metres, metres, metres)
def test_poses_and_transforms_round_trip(roll: float, pitch: float, yaw: float, x: float, y: float, z: float) -> None:
    pose = Pose3.from_rpy(roll, pitch, yaw, np.array([x, y, z]))
    np.testing.assert_allclose(c.pose3_from_pose(c.pose_from_pose3(pose)).matrix(), pose.matrix(), atol=1e-9)
    np.testing.assert_allclose(c.pose3_from_transform(c.transform_from_pose3(pose)).matrix(), pose.matrix(), atol=1e-9)
    flat = c.pose2_from_pose(c.pose_from_pose2(Pose2(x, y, yaw)))
    assert (flat.x, flat.y, flat.yaw) == pytest.approx((x, y, yaw))


@pytest.mark.parametrize("broken", ["x", "nan_q", "zero_q"])
def test_poses_that_are_none_are_refused(broken: str) -> None:
    message = Pose()
    if broken == "x":
        message.position.x = math.inf
    elif broken == "nan_q":
        message.orientation.w = math.nan
    else:
        message.orientation.w = 0.0
    with pytest.raises(BadInputError, match="not finite, or a zero quaternion"):
        c.pose3_from_pose(message)


def test_paths_and_grids() -> None:
    poses = np.array([[0.0, 1.0, 0.5], [2.0, 3.0, -3.0]])
    path = c.path_from_poses(poses, 4, "odom")
    np.testing.assert_allclose(c.poses_from_path(path), poses)
    assert path.poses[1].header.frame_id == path.header.frame_id == "odom"
    cells = np.array([[-1, 0, 100], [1, 2, 3]], np.int8)
    grid = c.grid_message(cells, 0.05, Pose2(-1.0, 2.0, 0.0), 4, "odom")
    assert (grid.info.width, grid.info.height, grid.info.resolution) == (3, 2, pytest.approx(0.05))
    assert list(grid.data) == [-1, 0, 100, 1, 2, 3]


@pytest.mark.parametrize("count", [0, 3])
def test_obstacles_are_a_cloud_that_costmaps_read(count: int) -> None:
    points = np.arange(2.0 * count).reshape(count, 2)
    cloud = obstacle_cloud(points, 4, "odom")
    assert (cloud.width, cloud.height, cloud.point_step, cloud.header.frame_id) == (count, 1, 12, "odom")
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [("x", 0, 7), ("y", 4, 7), ("z", 8, 7)]
    read = np.frombuffer(bytes(cloud.data), np.float32).reshape(-1, 3)
    np.testing.assert_allclose(read[:, :2], points)
    assert (read[:, 2] > 0.0).all()


def test_samples_are_coloured_by_cost_and_by_whether_they_are_free() -> None:
    lines = np.zeros((3, 4, 3))
    lines[:, :, 0] = [[1.0], [2.0], [3.0]]
    markers = sample_markers(Samples(4, lines, np.array([5.0, 1.0, 0.5]), np.array([True, True, False])), "odom").markers
    assert [(m.type, len(m.points), m.points[0].x) for m in markers] == [(4, 4, x) for x in (1.0, 2.0, 3.0)]
    worst, best, barred = ((m.color.r, m.color.g) for m in markers)
    assert (worst, best) == ((1.0, 0.0), (0.0, 1.0)) and barred[0] == barred[1]
