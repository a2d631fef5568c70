"""Write a drive as a standard rosbag2 (MCAP) that any ROS 2 tool reads; no ROS needed."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import AnyArray, CameraFrame, Float32Array, FloatArray, ImuSample, LaserScan, Scene, WheelTwist, nanoseconds
from astra.datasets.origin import DriveOrigin
from astra.datasets.payloads import KEY, Fingerprints
from astra.datasets.topics import CONTACT_TOPIC, DISTURBED_TOPIC, GOAL_TOPIC, MOVERS_TOPIC, PLAN_TOPIC, TRUTH_TOPIC
from astra.geometry import CameraModel, CameraRig, Pose2, Pose3
from astra.sim.driver import PLAN_STEP_S

JPEG_QUALITY = 92
CYLINDER, MOVER_HEIGHT_M = 3, 1.7
MAX_DEPTH_M = 65.535  # of 16 bits of millimetres


class DriveWriter:
    """A context manager that records one drive to the folder `path` (metadata.yaml and one .mcap).

    Args:
        path: a folder that does not exist yet.
        rig: the cameras; written to /tf_static and to each camera's camera_info.
        lidar: pose of the scanner on the base, or None without one.
        imu: pose of the IMU on the base.
        truth: whether `/ground_truth/odom` is recorded too.
        raw: images as they are, not as JPEG.
        origin: which world and seeds the drive comes from; kept in the bag's metadata.

    A message's log time is `received_ns` where that is given, else its stamp. Chunks are compressed (zstd).
    """

    def __init__(
        self, path: Path, rig: CameraRig, *, lidar: Pose3 | None = None, imu: Pose3 | None = None, truth: bool = False, raw: bool = False,
        origin: DriveOrigin | None = None,
    ) -> None:  # fmt: skip
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        if path.exists():
            raise BadInputError(f"{path} exists already; a drive is never overwritten")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rig, self._truth, self._raw = rig, truth, raw
        self._in_contact: bool | None = None
        self._frames: dict[tuple[str, str], Pose3] = {("base_link", f"{c.name}_optical_frame"): c.base_from_cam for c in rig.cameras}
        if lidar is not None:
            self._frames["base_link", "lidar"] = lidar
        self._frames["base_link", "imu_link"] = imu or Pose3()
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._types = self._store.types
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        for key, text in origin.texts().items() if origin else ():
            self._writer.set_custom_data(key, text)
        self._connections: dict[str, Any] = {}
        self._static_written = False
        self._level = self._types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)
        self._fingerprints = Fingerprints()

    def __enter__(self) -> DriveWriter:
        self._writer.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.set_custom_data(KEY, self._fingerprints.text())
        self._writer.close()

    def write_frame(self, frame: CameraFrame, received_ns: int | None = None) -> None:
        """Write one image, its camera_info and, where there is one, its depth image."""
        header = self._header(frame.stamp_ns, f"{frame.camera}_optical_frame")
        now = frame.stamp_ns if received_ns is None else received_ns
        self._write_static(now)
        if self._raw:
            self._put(f"/{frame.camera}/image_raw", "sensor_msgs/msg/Image", now, **_image(header, frame.rgb, "rgb8"))
        else:
            ok, jpeg = cv2.imencode(".jpg", frame.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            if not ok:
                raise BadInputError(f"a frame of camera {frame.camera!r} with shape {frame.rgb.shape} cannot be encoded")
            kind, data = "rgb8; jpeg compressed bgr8", np.asarray(jpeg).ravel()
            self._put(f"/{frame.camera}/image_raw/compressed", "sensor_msgs/msg/CompressedImage", now, header=header, format=kind, data=data)
        if frame.depth_m is not None:
            self._put(f"/{frame.camera}/depth", "sensor_msgs/msg/Image", now, **_image(header, _millimetres(frame.depth_m), "16UC1"))
        self._put(f"/{frame.camera}/camera_info", "sensor_msgs/msg/CameraInfo", now, **self._info(self._rig[frame.camera].model, header))

    def write_imu(self, sample: ImuSample, received_ns: int | None = None) -> None:
        """Write one IMU reading."""
        now = sample.stamp_ns if received_ns is None else received_ns
        self._write_static(now)
        unknown = np.array([-1.0, *[0.0] * 8])
        self._put(
            "/imu", "sensor_msgs/msg/Imu", now, header=self._header(sample.stamp_ns, "imu_link"), orientation=self._level,
            orientation_covariance=unknown, angular_velocity=self._vector(sample.angular_velocity), angular_velocity_covariance=np.zeros(9),
            linear_acceleration=self._vector(sample.linear_acceleration), linear_acceleration_covariance=np.zeros(9),
        )  # fmt: skip

    def write_wheel(self, twist: WheelTwist, received_ns: int | None = None) -> None:
        """Write one wheel odometry reading; its pose is zero, only the twist counts."""
        now = twist.stamp_ns if received_ns is None else received_ns
        self._odometry("/wheel/odometry", now, self._header(twist.stamp_ns, "wheel_odom"), None, twist.linear_mps, twist.angular_radps)

    def write_scan(self, scan: LaserScan, received_ns: int | None = None) -> None:
        """Write one lidar scan."""
        now = scan.stamp_ns if received_ns is None else received_ns
        self._write_static(now)
        self._put(
            "/scan", "sensor_msgs/msg/LaserScan", now, header=self._header(scan.stamp_ns, scan.frame), angle_min=scan.angle_min_rad,
            angle_max=scan.angle_min_rad + scan.angle_increment_rad * (len(scan.ranges) - 1), angle_increment=scan.angle_increment_rad, time_increment=0.0,
            scan_time=0.1, range_min=scan.range_min_m, range_max=scan.range_max_m, ranges=scan.ranges.astype(np.float32), intensities=np.zeros(0, np.float32),
        )  # fmt: skip

    def write_truth(self, scene: Scene) -> None:
        """Write the simulator's truth, for evaluation; dropped unless the writer was made with `truth`. Contact is written when it changes."""
        if not self._truth:
            return
        if scene.in_contact != self._in_contact:
            self._in_contact = scene.in_contact
            self._put(CONTACT_TOPIC, "std_msgs/msg/Bool", scene.stamp_ns, data=scene.in_contact)
        header, pose = self._header(scene.stamp_ns, "world"), Pose3.from_matrix(scene.world_from_base)
        self._odometry(TRUTH_TOPIC, scene.stamp_ns, header, pose, scene.linear_mps, scene.angular_radps)

    def write_movers(self, stamp_ns: int, movers: FloatArray) -> None:
        """Write where everybody else is, x, y, radius (M, 3) [m]; truth too, and a picture for RViz: one cylinder each."""
        if not self._truth:
            return
        t, header, colour = self._types, self._header(stamp_ns, "world"), self._types["std_msgs/msg/ColorRGBA"](r=1.0, g=0.5, b=0.1, a=0.6)
        markers = [
            t["visualization_msgs/msg/Marker"](
                header=header, ns="movers", id=i, type=CYLINDER, action=0, scale=self._vector((2.0 * radius, 2.0 * radius, MOVER_HEIGHT_M)), color=colour,
                pose=t["geometry_msgs/msg/Pose"](position=t["geometry_msgs/msg/Point"](x=x, y=y, z=MOVER_HEIGHT_M / 2), orientation=self._level),
                lifetime=t["builtin_interfaces/msg/Duration"](sec=1, nanosec=0), frame_locked=False, points=[], colors=[], texture_resource="",
                texture=t["sensor_msgs/msg/CompressedImage"](header=header, format="", data=np.zeros(0, np.uint8)), uv_coordinates=[], text="",
                mesh_resource="", mesh_file=t["visualization_msgs/msg/MeshFile"](filename="", data=np.zeros(0, np.uint8)), mesh_use_embedded_materials=False,
            )
            for i, (x, y, radius) in enumerate(np.asarray(movers, dtype=np.float64).tolist())
        ]  # fmt: skip
        self._put(MOVERS_TOPIC, "visualization_msgs/msg/MarkerArray", stamp_ns, markers=markers)

    def write_goal(self, stamp_ns: int, world_from_goal: Pose2) -> None:
        """Write where the driver wants to go from now on; truth too."""
        if self._truth:
            self._put(GOAL_TOPIC, "geometry_msgs/msg/PoseStamped", stamp_ns, header=self._header(stamp_ns, "world"), pose=self._pose(world_from_goal))

    def write_plan(self, stamp_ns: int, poses: FloatArray) -> None:
        """Write what the driver means to do from a moment on, x, y, yaw (T, 3) [world], `PLAN_STEP_S` apart; truth too."""
        if not self._truth:
            return
        stamped = self._types["geometry_msgs/msg/PoseStamped"]
        path = [
            stamped(header=self._header(stamp_ns + k * nanoseconds(PLAN_STEP_S), "world"), pose=self._pose(Pose2(*row))) for k, row in enumerate(poses.tolist())
        ]
        self._put(PLAN_TOPIC, "nav_msgs/msg/Path", stamp_ns, header=self._header(stamp_ns, "world"), poses=path)

    def write_disturbed(self, stamp_ns: int, disturbed: bool) -> None:
        """Write that the driver is now kept from its plan, or no more; truth too."""
        if self._truth:
            self._put(DISTURBED_TOPIC, "std_msgs/msg/Bool", stamp_ns, data=disturbed)

    def _pose(self, pose: Pose2) -> Any:
        half = pose.yaw / 2.0
        turn = self._types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=math.sin(half), w=math.cos(half))
        return self._types["geometry_msgs/msg/Pose"](position=self._types["geometry_msgs/msg/Point"](x=pose.x, y=pose.y, z=0.0), orientation=turn)

    def _odometry(self, topic: str, now_ns: int, header: Any, pose: Pose3 | None, linear_mps: float, angular_radps: float) -> None:
        self._write_static(now_ns)
        t = self._types
        x, y, z = (0.0, 0.0, 0.0) if pose is None else (float(v) for v in pose.translation)
        posed = t["geometry_msgs/msg/Pose"](
            position=t["geometry_msgs/msg/Point"](x=x, y=y, z=z), orientation=self._level if pose is None else self._quaternion(pose)
        )
        twist = t["geometry_msgs/msg/Twist"](linear=self._vector(np.array([linear_mps, 0.0, 0.0])), angular=self._vector(np.array([0.0, 0.0, angular_radps])))
        self._put(
            topic, "nav_msgs/msg/Odometry", now_ns, header=header, child_frame_id="base_link",
            pose=t["geometry_msgs/msg/PoseWithCovariance"](pose=posed, covariance=np.zeros(36)),
            twist=t["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=np.zeros(36)),
        )  # fmt: skip

    def _write_static(self, stamp_ns: int) -> None:
        if self._static_written:
            return
        self._static_written = True
        t = self._types
        transforms = [
            t["geometry_msgs/msg/TransformStamped"](
                header=self._header(stamp_ns, parent), child_frame_id=child,
                transform=t["geometry_msgs/msg/Transform"](translation=self._vector(pose.translation), rotation=self._quaternion(pose)),
            )
            for (parent, child), pose in self._frames.items()
        ]  # fmt: skip
        self._put("/tf_static", "tf2_msgs/msg/TFMessage", stamp_ns, transforms=transforms)

    def _put(self, topic: str, kind: str, stamp_ns: int, **fields: Any) -> None:
        if topic not in self._connections:
            from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

            forever = QosTime(9223372036, 854775807)
            durability = QosDurability.TRANSIENT_LOCAL if topic == "/tf_static" else QosDurability.VOLATILE
            qos = Qos(QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, durability, forever, forever, QosLiveliness.AUTOMATIC, forever, False)
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._store, offered_qos_profiles=[qos])
        data = self._store.serialize_cdr(self._types[kind](**fields), kind)
        self._fingerprints.add(topic, stamp_ns, data)
        self._writer.write(self._connections[topic], stamp_ns, data)

    def _header(self, stamp_ns: int, frame: str) -> Any:
        stamp = self._types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        return self._types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)

    def _vector(self, values: Any) -> Any:
        return self._types["geometry_msgs/msg/Vector3"](x=float(values[0]), y=float(values[1]), z=float(values[2]))

    def _quaternion(self, pose: Pose3) -> Any:
        x, y, z, w = (float(v) for v in pose.quaternion_xyzw())
        return self._types["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w)

    def _info(self, model: CameraModel, header: Any) -> dict[str, Any]:
        info = model.to_camera_info()
        k = np.array(info["camera_matrix"]["data"])
        roi = self._types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        p = np.hstack([k.reshape(3, 3), np.zeros((3, 1))]).ravel()
        return {
            "header": header, "height": model.height, "width": model.width, "distortion_model": model.distortion_model,
            "d": np.array(info["distortion_coefficients"]["data"]), "k": k, "r": np.eye(3).ravel(), "p": p, "binning_x": 0, "binning_y": 0, "roi": roi,
        }  # fmt: skip


def _image(header: Any, pixels: AnyArray, encoding: str) -> dict[str, Any]:
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    data = pixels.view(np.uint8).ravel()
    return {"header": header, "height": height, "width": width, "encoding": encoding, "is_bigendian": 0, "step": pixels.nbytes // height, "data": data}


def _millimetres(depth_m: Float32Array) -> AnyArray:
    """16UC1 by REP 118: millimetres, 0 where nothing was measured or it is too far to say."""
    seen = np.isfinite(depth_m) & (depth_m > 0.0) & (depth_m < MAX_DEPTH_M)
    return np.where(seen, np.rint(depth_m * 1000.0), 0).astype("<u2")
