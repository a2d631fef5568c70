from __future__ import annotations

import filecmp
import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import sdf_check
import yaml
from gazebo_hall import START, Export

from astra.core.errors import BadInputError
from astra.core.paths import share_dir
from astra.core.types import FloatArray
from astra.geometry import BODY_FROM_OPTICAL, Pose3
from astra.sim import engine
from astra.sim.gazebo import export_sdf
from astra.sim.robot import RobotConfig, mjcf_from_robot
from astra.sim.urdf import sensor_frames
from astra.sim.world import World

ROBOT, HALL = "models/diffdrive/model.sdf", "models/long_hall/model.sdf"


def parse(path: Path) -> ElementTree.Element:
    """The model or world in a document."""
    return ElementTree.parse(path).getroot()[0]


def numbers(element: ElementTree.Element | None) -> list[float]:
    """The numbers in an element."""
    assert element is not None
    assert element.text is not None
    return [float(v) for v in element.text.split()]


def pose(element: ElementTree.Element) -> Pose3:
    """The pose of an element; none is the identity."""
    x, y, z, *angles = numbers(element.find("pose")) if element.find("pose") is not None else [0.0] * 6
    return Pose3.from_rpy(angles[0], angles[1], angles[2], np.array([x, y, z]))


def obj_triangles(path: Path) -> tuple[FloatArray, FloatArray]:
    """Corners (M, 3, 3) and texture coordinates (M, 3, 2) of an OBJ file."""
    rows: dict[str, list[list[str]]] = {"v": [], "vt": [], "f": []}
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind in rows:
            rows[kind].append(rest.split())
    index = np.array([[corner.split("/")[:2] for corner in face] for face in rows["f"]], dtype=int) - 1
    return np.array(rows["v"], dtype=float)[index[..., 0]], np.array(rows["vt"], dtype=float)[index[..., 1]]


@sdf_check.needs_sdformat
def test_every_document_is_sdf_1_9(export: Export) -> None:
    for path in export.documents:
        assert sdf_check.accepted(path, export.folder / "models")
        assert sdf_check.unknown(path) == []


@sdf_check.needs_sdformat
def test_the_check_itself_finds_a_wrong_tag_and_a_missing_one(export: Export, tmp_path: Path) -> None:
    text = (export.folder / ROBOT).read_text()
    wrong = tmp_path / "model.sdf"
    wrong.write_text(text.replace("<mass>", "<weight>").replace("</mass>", "</weight>"))
    assert any(entry.endswith("inertial/weight") for entry in sdf_check.unknown(wrong))
    wrong.write_text(text.replace("<update_rate>", "<rate>").replace("</update_rate>", "</rate>").replace('type="camera"', ""))
    found = sdf_check.unknown(wrong)
    assert any(entry.endswith("sensor@type is missing") for entry in found)
    assert any(entry.endswith("sensor/rate") for entry in found)


def test_meshes_and_textures_are_those_of_the_world(export: Export) -> None:
    theirs, ours = export.folder / "models" / "long_hall", export.world.scene.parent
    meshes = sorted(ours.glob("meshes/*.obj"))
    assert export.done.meshes == len(meshes) > 0
    for path in meshes:
        for mine, other in zip(obj_triangles(path), obj_triangles(theirs / "meshes" / path.name)):
            np.testing.assert_allclose(other, mine, atol=2e-5)
    pictures = sorted(ours.glob("textures/*.png"))
    assert export.done.textures == len(pictures) > 0
    for pair in zip(pictures, sorted(theirs.glob("materials/textures/*.png"))):
        mine, other = (np.asarray(cv2.imread(str(path))) for path in pair)
        np.testing.assert_array_equal(mine, other)


def test_everything_named_is_there_and_named_relatively(export: Export) -> None:
    for path in export.documents:
        for element in ElementTree.parse(path).iter():
            if element.tag in ("albedo_map", "emissive_map") or (element.tag == "uri" and "://" not in (element.text or "")):
                assert element.text is not None
                assert not Path(element.text).is_absolute()
                assert (path.parent / element.text).is_file()
    for material in export.folder.rglob("*.mtl"):
        (picture,) = [line.split()[1] for line in material.read_text().splitlines() if line.startswith("map_Kd")]
        assert (material.parent / picture).is_file()
    for model in export.folder.glob("models/*"):
        config = ElementTree.parse(model / "model.config").getroot()
        assert config.findtext("sdf") == "model.sdf"
        assert config.findtext("name") == model.name == parse(model / "model.sdf").get("name")


def test_painted_light_is_shown_as_it_is(export: Export) -> None:
    for visual in parse(export.folder / HALL).iter("visual"):
        assert numbers(visual.find("material/diffuse"))[:3] == [0.0, 0.0, 0.0]
        assert numbers(visual.find("material/emissive"))[:3] == [1.0, 1.0, 1.0]
        assert visual.findtext("material/pbr/metal/emissive_map") == visual.findtext("material/pbr/metal/albedo_map")


def test_solids_keep_their_place_size_and_friction_and_movers_stay_out(export: Export) -> None:
    link = parse(export.folder / HALL).find("link")
    assert link is not None
    boxes = {tuple(numbers(c.find("geometry/box/size"))): c for c in link.findall("collision") if c.find("geometry/box") is not None}
    crate = boxes[0.8, 1.2, 0.8]
    assert numbers(crate.find("pose")) == pytest.approx([0.0, -2.0, 0.4, 0.0, 0.0, 0.6], abs=1e-6)
    assert numbers(crate.find("surface/friction/ode/mu")) == pytest.approx([0.3])
    (column,) = [c for c in link.findall("collision") if c.find("geometry/cylinder") is not None]
    assert numbers(column.find("geometry/cylinder/length")) + numbers(column.find("geometry/cylinder/radius")) == pytest.approx([1.0, 0.3])
    (floor,) = [c for c in link.findall("collision") if c.find("geometry/plane") is not None]
    assert numbers(floor.find("surface/friction/ode/mu")) == [1.0]
    assert export.done.collisions == len(link.findall("collision")) == 4
    assert export.done.left_out == 1
    assert link.findall("visual/geometry/box") == []


def test_the_robot_weighs_and_grips_what_it_does_in_mujoco(export: Export) -> None:
    mujoco = engine.mujoco()
    model = mujoco.MjModel.from_xml_string(mjcf_from_robot(export.robot))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    sdf = parse(export.folder / ROBOT)
    for body, link in zip(range(1, model.nbody), sdf.findall("link"), strict=True):
        inertial = link.find("inertial")
        assert inertial is not None
        assert numbers(inertial.find("mass")) == pytest.approx([model.body_mass[body]])
        frame = pose(link) @ pose(inertial)
        np.testing.assert_allclose(frame.translation, data.xipos[body], atol=1e-6)
        moments = np.diag([numbers(inertial.find(f"inertia/{axis}"))[0] for axis in ("ixx", "iyy", "izz")])
        expected = data.ximat[body].reshape(3, 3)
        np.testing.assert_allclose(frame.rotation @ moments @ frame.rotation.T, expected @ np.diag(model.body_inertia[body]) @ expected.T, atol=1e-7)
    friction = {c.get("name"): numbers(c.find("surface/friction/ode/mu"))[0] for c in sdf.iter("collision")}
    assert friction["wheel_left_collision"] == friction["wheel_right_collision"] == pytest.approx(0.8)
    assert friction["caster_0_collision"] == friction["caster_1_collision"] == 0.0
    assert [numbers(j.find("axis/limit/effort")) for j in sdf.findall("joint")] == [[8.0], [8.0]]


def test_sensors_sit_where_the_rig_and_the_urdf_say(export: Export) -> None:
    sdf = parse(export.folder / ROBOT)
    frames = {element.get("name"): pose(element) for element in sdf.findall("frame")}
    for (_, child), expected in sensor_frames(export.robot).items():
        np.testing.assert_allclose(frames[child].matrix(), expected.matrix(), atol=1e-6)
    sensors = {element.get("name"): element for element in sdf.iter("sensor")}
    assert set(sensors) == {"front", "left", "back", "right", "imu", "lidar"}
    for camera in export.robot.rig().cameras:
        element = sensors[camera.name]
        np.testing.assert_allclose((pose(element) @ BODY_FROM_OPTICAL).matrix(), camera.base_from_cam.matrix(), atol=1e-6)
        assert frames[element.findtext("gz_frame_id")].angle_to(camera.base_from_cam) < 1e-6
        width = numbers(element.find("camera/image/width"))[0]
        assert width / 2 / math.tan(numbers(element.find("camera/horizontal_fov"))[0] / 2) == pytest.approx(camera.model.fx)
        assert element.findtext("update_rate") == "10"
    first, last = (numbers(sensors["lidar"].find(f"lidar/scan/horizontal/{tag}"))[0] for tag in ("min_angle", "max_angle"))
    np.testing.assert_allclose(np.linspace(first, last, export.robot.lidar.beams), export.robot.lidar.angles(), atol=1e-5)


def test_no_sensor_sees_the_robot(export: Export) -> None:
    sdf = parse(export.folder / ROBOT)
    shown = {int(numbers(visual.find("visibility_flags"))[0]) for visual in sdf.iter("visual")}
    masks = {int(numbers(mask)[0]) for mask in sdf.iter("visibility_mask")}
    assert all(flags & mask == 0 for flags in shown for mask in masks)
    assert len(list(sdf.iter("visibility_mask"))) == 5


def test_the_bridge_carries_what_gazebo_publishes_under_the_contracts_names(export: Export) -> None:
    entries = {entry["ros_topic_name"]: entry for entry in yaml.safe_load((export.folder / "bridge.yaml").read_text())}
    sdf = parse(export.folder / ROBOT)
    published = {e.text for e in sdf.iter() if e.tag in ("topic", "odom_topic")}
    published |= {(e.text or "").replace("image_raw", "camera_info") for e in sdf.iter("topic")}
    for entry in entries.values():
        assert entry["gz_topic_name"] in published | {"/clock"}
        assert entry["gz_topic_name"].lstrip("/") == entry["ros_topic_name"].lstrip("/")
        assert entry["direction"] == ("ROS_TO_GZ" if entry["ros_topic_name"] == "cmd_vel" else "GZ_TO_ROS")
    assert {"imu", "wheel/odometry", "scan", "ground_truth/odom", "front/image_raw", "front/camera_info", "/clock", "cmd_vel"} <= set(entries)
    assert not any("tf" in name for name in entries)  # odom → base_link belongs to astra_odometry


def test_the_shipped_bridge_is_the_default_robots(export: Export) -> None:
    assert filecmp.cmp(export.folder / "bridge.yaml", share_dir() / "config" / "gazebo" / "bridge.yaml", shallow=False)


def test_the_robot_stands_at_the_start(export: Export) -> None:
    include = {e.findtext("name"): e for e in parse(export.folder / "world.sdf").findall("include")}
    np.testing.assert_allclose(pose(include["robot"]).translation[:2], [START.x, START.y])
    assert {e.findtext("uri") for e in include.values()} == {"model://long_hall", "model://diffdrive"}


def test_scenes_of_others_keep_colours_and_shapes(tmp_path: Path) -> None:
    path = tmp_path / "yard.xml"
    path.write_text(
        """<mujoco><asset><texture name="c" type="2d" builtin="checker" width="8" height="8" rgb1="1 0 0" rgb2="0 0 1"/>
        <material name="m" texture="c"/></asset><worldbody><light pos="0 0 3"/>
        <geom type="plane" size="0 0 1" material="m"/>
        <geom name="ball" type="sphere" size="0.3" pos="1 0 0.3" rgba="1 0 0 0.5"/>
        <body pos="2 0 0" euler="0 0 90"><geom name="pill" type="capsule" size="0.1 0.4" pos="1 0 0.5"/></body>
        </worldbody></mujoco>"""
    )
    done = export_sdf(World("yard", path), RobotConfig(), tmp_path / "out")
    assert (done.visuals, done.collisions, done.textures) == (3, 3, 1)
    visuals = {v.get("name"): v for v in parse(tmp_path / "out" / "models/yard/model.sdf").iter("visual")}
    assert numbers(visuals["ball_visual"].find("material/diffuse")) == [1.0, 0.0, 0.0, 1.0]
    assert numbers(visuals["ball_visual"].find("transparency")) == [0.5]
    assert numbers(visuals["pill_visual"].find("geometry/capsule/length")) == pytest.approx([0.8])
    np.testing.assert_allclose(pose(visuals["pill_visual"]).translation, [2.0, 1.0, 0.5], atol=1e-9)


def test_what_cannot_be_said_in_sdf_is_refused_and_leaves_nothing(hall: World, tmp_path: Path) -> None:
    path = tmp_path / "hill.xml"
    path.write_text(
        '<mujoco><asset><hfield name="h" nrow="2" ncol="2" size="1 1 1 1" elevation="0 1 1 0"/></asset>'
        '<worldbody><geom name="hill" type="hfield" hfield="h"/><geom type="box" size="1 1 1"/></worldbody></mujoco>'
    )
    with pytest.raises(BadInputError, match="'hill': a hfield"):
        export_sdf(World("hill", path), RobotConfig(), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["hill.xml"]
    with pytest.raises(BadInputError, match="not an empty folder"):
        export_sdf(hall, replace(RobotConfig(), name="other"), tmp_path)
