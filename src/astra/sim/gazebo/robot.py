"""The robot as an SDF model: bodies, masses, joints and friction read from its MuJoCo model, sensors and drive from its configuration."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.geometry import BODY_FROM_OPTICAL, Pose3, RigCamera
from astra.sim import engine
from astra.sim.gazebo.elements import Element, add, add_plugin, add_pose, root, safe_name
from astra.sim.gazebo.shapes import Shapes, pose_from_quaternion
from astra.sim.robot import ImuConfig, LidarConfig, RobotConfig, mjcf_from_robot
from astra.sim.urdf import sensor_frames

BASE = "base_link"
CLIP_M = (0.04, 50.0)  # near and far planes of the cameras
ITSELF, EVERYTHING_ELSE = 1, 0x0FFFFFFE  # visibility flags: no sensor sees the robot's own body, as in our simulator
BIAS_TIME_S = 1e4  # so slow that the IMU's biases walk as ours do


def robot_model(robot: RobotConfig, folder: Path) -> Element:
    """The robot's SDF document; meshes and textures, if it has any, go into `folder`."""
    model = engine.mujoco().MjModel.from_xml_string(mjcf_from_robot(robot))
    document = root()
    sdf = add(document, "model", name=safe_name(robot.name), canonical_link=BASE)
    add(sdf, "static", False)
    add(sdf, "self_collide", False)
    shapes = Shapes(model, folder, unlit=False)
    links = [_link(sdf, model, shapes, body, robot) for body in range(1, model.nbody)]
    for joint in range(model.njnt):
        if model.jnt_type[joint] == engine.mujoco().mjtJoint.mjJNT_HINGE:
            _joint(sdf, model, joint)
    for (parent, child), pose in sensor_frames(robot).items():
        add_pose(add(sdf, "frame", name=child, attached_to=parent), pose)
    for camera in robot.rig().cameras:
        _camera(links[0], camera, robot.cameras.rate_hz)
    _imu(links[0], robot.imu)
    _lidar(links[0], robot.lidar)
    _plugins(sdf, robot)
    return document


def _link_name(model: Any, body: int) -> str:
    return BASE if model.body_parentid[body] == 0 else safe_name(model.body(body).name)


def _link(sdf: Element, model: Any, shapes: Shapes, body: int, robot: RobotConfig) -> Element:
    if model.body_parentid[body] > 1 or (model.body_parentid[body] == 0) != (body == 1):
        raise BadInputError(f"robot {robot.name!r}: body {model.body(body).name!r} is not attached to the base; it cannot be exported as SDF")
    link = add(sdf, "link", name=_link_name(model, body))
    if body > 1:
        add_pose(link, pose_from_quaternion(model.body_pos[body], model.body_quat[body]), relative_to=BASE)
    inertial = add(link, "inertial")
    add_pose(inertial, pose_from_quaternion(model.body_ipos[body], model.body_iquat[body]))
    add(inertial, "mass", float(model.body_mass[body]))
    inertia = add(inertial, "inertia")
    for axis, value in zip(("ixx", "iyy", "izz"), model.body_inertia[body]):
        add(inertia, axis, float(value))
    for axis in ("ixy", "ixz", "iyz"):
        add(inertia, axis, 0.0)
    for geom in range(int(model.body_geomadr[body]), int(model.body_geomadr[body] + model.body_geomnum[body])):
        pose = pose_from_quaternion(model.geom_pos[geom], model.geom_quat[geom])
        add(shapes.visual(link, geom, pose), "visibility_flags", ITSELF)
        if shapes.is_solid(geom):
            shapes.collision(link, geom, pose)
    return link


def _joint(sdf: Element, model: Any, joint: int) -> None:
    """A wheel's joint: its axis, its damping, and the torque that its servo has."""
    body, dof = int(model.jnt_bodyid[joint]), int(model.jnt_dofadr[joint])
    element = add(sdf, "joint", name=model.joint(joint).name, type="revolute")
    add(element, "parent", BASE)
    add(element, "child", _link_name(model, body))
    axis = add(element, "axis")
    add(axis, "xyz", [float(v) for v in model.jnt_axis[joint]])
    limit = add(axis, "limit")
    add(limit, "lower", -1e16)
    add(limit, "upper", 1e16)
    servos = [k for k in range(model.nu) if model.actuator_trnid[k, 0] == joint]
    if servos:
        add(limit, "effort", float(model.actuator_forcerange[servos[0], 1]))
    dynamics = add(axis, "dynamics")
    add(dynamics, "damping", float(model.dof_damping[dof]))
    add(dynamics, "spring_reference", 0.0)
    add(dynamics, "spring_stiffness", 0.0)


def _sensor(link: Element, name: str, kind: str, rate_hz: float, topic: str, frame: str, pose: Pose3) -> Element:
    sensor = add(link, "sensor", name=name, type=kind)
    add_pose(sensor, pose)
    add(sensor, "always_on", True)
    add(sensor, "update_rate", rate_hz)
    add(sensor, "topic", topic)
    add(sensor, "gz_frame_id", frame)
    return sensor


def _camera(link: Element, camera: RigCamera, rate_hz: float) -> None:
    """A pinhole camera; Gazebo's looks along +x of its own frame, what it publishes is named after the optical frame.

    Its camera_info goes to the topic beside its images.
    """
    model, name = camera.model, camera.name
    if model.is_distorted or model.distortion_model != "plumb_bob" or abs(model.fx - model.fy) > 1e-6 * model.fx:
        raise BadInputError(f"camera {name!r} is no plain pinhole with square pixels; only those can be exported as SDF")
    base_from_body = camera.base_from_cam @ BODY_FROM_OPTICAL.inverse()
    sensor = _sensor(link, name, "camera", rate_hz, f"/{name}/image_raw", f"{name}_optical_frame", base_from_body)
    element = add(sensor, "camera", name=name)
    add(element, "horizontal_fov", 2.0 * math.atan(model.width / 2.0 / model.fx))
    image = add(element, "image")
    add(image, "width", model.width)
    add(image, "height", model.height)
    add(image, "format", "R8G8B8")
    clip = add(element, "clip")
    add(clip, "near", CLIP_M[0])
    add(clip, "far", CLIP_M[1])
    add(element, "visibility_mask", EVERYTHING_ELSE)


def _imu(link: Element, config: ImuConfig) -> None:
    sensor = _sensor(link, "imu", "imu", config.rate_hz, "/imu", "imu_link", Pose3(translation=np.array([0.0, 0.0, config.z_m])))
    imu = add(sensor, "imu")
    for tag, noise, bias, walk in (
        ("angular_velocity", config.gyro_noise_radps, config.gyro_bias_radps, config.gyro_walk_radps_sqrts),
        ("linear_acceleration", config.accel_noise_mps2, config.accel_bias_mps2, config.accel_walk_mps2_sqrts),
    ):
        group = add(imu, tag)
        for axis in "xyz":
            element = add(add(group, axis), "noise", type="gaussian")
            add(element, "mean", 0.0)
            add(element, "stddev", noise)
            add(element, "bias_mean", 0.0)
            add(element, "bias_stddev", bias)
            add(element, "dynamic_bias_stddev", walk)
            add(element, "dynamic_bias_correlation_time", BIAS_TIME_S)


def _lidar(link: Element, config: LidarConfig) -> None:
    sensor = _sensor(link, "lidar", "gpu_lidar", config.rate_hz, "/scan", "lidar", Pose3(translation=np.array([0.0, 0.0, config.z_m])))
    lidar = add(sensor, "lidar")
    horizontal = add(add(lidar, "scan"), "horizontal")
    add(horizontal, "samples", config.beams)
    add(horizontal, "resolution", 1.0)
    add(horizontal, "min_angle", -math.pi)
    add(horizontal, "max_angle", math.pi - 2.0 * math.pi / config.beams)
    reach = add(lidar, "range")
    add(reach, "min", config.range_min_m)
    add(reach, "max", config.range_max_m)
    add(reach, "resolution", 0.001)
    add(lidar, "visibility_mask", EVERYTHING_ELSE)
    noise = add(lidar, "noise")
    add(noise, "type", "gaussian")
    add(noise, "mean", 0.0)
    add(noise, "stddev", config.noise_m)


def _plugins(sdf: Element, robot: RobotConfig) -> None:
    add_plugin(
        sdf, "diff-drive", "DiffDrive", left_joint="joint_left", right_joint="joint_right",
        wheel_separation=robot.wheels.track_m, wheel_radius=robot.wheels.radius_m, odom_publish_frequency=robot.wheels.rate_hz,
        topic="/cmd_vel", odom_topic="/wheel/odometry", tf_topic="/wheel/tf", frame_id="wheel_odom", child_frame_id=BASE,
        min_linear_velocity=-robot.max_linear_mps, max_linear_velocity=robot.max_linear_mps,
        min_angular_velocity=-robot.max_angular_radps, max_angular_velocity=robot.max_angular_radps,
        min_linear_acceleration=-robot.max_linear_mps2, max_linear_acceleration=robot.max_linear_mps2,
        min_angular_acceleration=-robot.max_angular_radps2, max_angular_acceleration=robot.max_angular_radps2,
    )  # fmt: skip
    add_plugin(sdf, "joint-state-publisher", "JointStatePublisher", topic="/joint_states")
    # The model's pose in the world: truth, for evaluation only.
    add_plugin(
        sdf, "odometry-publisher", "OdometryPublisher", odom_frame="world", robot_base_frame=BASE, odom_publish_frequency=50.0,
        odom_topic="/ground_truth/odom", tf_topic="/ground_truth/tf", odom_covariance_topic="/ground_truth/odom_with_covariance", dimensions=3.0,
    )  # fmt: skip
