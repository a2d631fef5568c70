"""A map into the frame of a user's Nav2 map: by its walls, and only if they say clearly how."""

import hashlib
import json
import math
import shutil

import numpy as np
import pytest
from toy_maps import SIZE, Building, tour, write_map

from astra.cli.main import main
from astra.core.errors import BadInputError
from astra.geometry import Pose2, Pose3, Similarity
from astra.mapping.align import align_map
from astra.mapping.nav2_map import load_nav2_map
from astra.topomap.io import damaged_files, load_features, load_map

HOUSE = Building((1, 2, 3))
USER_FROM_HOUSE = Pose2(-7.3, 12.1, math.radians(37.0))
POSES = tour(0, 1)


def user_map(folder, building, user_from_house=USER_FROM_HOUSE, rooms=None):
    """A Nav2 map of the whole building in the user's frame; its YAML."""
    last = len(building.looks) - 1 if rooms is None else rooms
    pose = Pose3.from_pose2(user_from_house)
    source = write_map(folder / "drawn", building, tour(0, last)[:3] + tour(0, last), Similarity(1.0, pose.rotation, pose.translation))
    shutil.move(source / "nav2", folder / "user")
    return folder / "user" / "map.yaml"


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    base = tmp_path_factory.mktemp("align")
    return write_map(base / "map", HOUSE, POSES, seed=1, marks=[("LAB", (1.0, 0.0, 1.5))]), user_map(base, HOUSE)


def test_every_pose_point_and_landmark_moves_with_the_walls(setting, tmp_path):
    path, user = setting
    found = align_map(path, user, tmp_path / "moved")
    assert found.motion.residual_m < 0.06 and found.motion.fit > 0.9 and found.rival < 0.95
    topo = load_map(tmp_path / "moved")
    assert damaged_files(tmp_path / "moved") == []
    for k, pose in enumerate(POSES):
        expected = USER_FROM_HOUSE @ pose
        got = topo.nodes[k].map_from_base.pose2()
        assert got.distance_to(expected) < 0.04 and abs(math.remainder(got.yaw - expected.yaw, 2 * math.pi)) < 0.01
    lifted = Pose3.from_pose2(USER_FROM_HOUSE)
    np.testing.assert_allclose(topo.landmarks[0].position_map, lifted.apply(np.array([1.0, 0.0, 1.5])), atol=0.05)
    points = load_features(tmp_path / "moved").points_map.astype(np.float64)
    house = lifted.inverse().apply(points[np.isfinite(points[:, 0])])
    assert house[:, 0].min() > -0.1 and house[:, 0].max() < 2 * SIZE[0] + 0.1
    grid = load_nav2_map(tmp_path / "moved" / "nav2" / "map.yaml")
    inside = USER_FROM_HOUSE.inverse().apply(grid.free_points())
    assert np.quantile(inside[:, 0], 0.01) > -0.1 and np.quantile(inside[:, 1], 0.99) < SIZE[1] + 0.1
    assert topo.info.build["aligned"][0]["map"] == str(user)


def test_a_house_that_looks_alike_from_both_ends_is_not_moved(tmp_path):
    """Turned by half a circle the walls fit as well; a hint decides."""
    plain = Building((1,), cupboards=False)
    path = write_map(tmp_path / "map", plain, tour(0, 0), seed=1)
    user = user_map(tmp_path, plain)
    before = digest(path)
    with pytest.raises(BadInputError, match="two ways"):
        align_map(path, user)
    assert digest(path) == before
    wanted = USER_FROM_HOUSE @ tour(0, 0)[0]
    found = align_map(path, user, near=Pose2(wanted.x + 0.5, wanted.y - 0.4, wanted.yaw + 0.2))
    assert found.user_from_map.distance_to(wanted) < 0.05


def digest(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_another_building_is_refused(setting, tmp_path):
    path, _ = setting
    other = tmp_path / "other.yaml"
    image = np.full((200, 300), 254, np.uint8)
    image[::40] = image[:, ::70] = 0
    (tmp_path / "other.pgm").write_bytes(b"P5\n300 200\n255\n" + image.tobytes())
    other.write_text("image: other.pgm\nresolution: 0.05\norigin: [0, 0, 0]\nnegate: 0\noccupied_thresh: 0.65\nfree_thresh: 0.2\n")
    with pytest.raises(BadInputError, match=r"does not fit|two ways"):
        align_map(path, other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_says_how_well_it_fits_and_what_is_wrong(setting, tmp_path, capsys):
    path, user = setting
    assert main(["map", "align", str(path), "--to", str(user), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fit"] > 0.8
    assert main(["map", "align", str(path), "--to", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err
    assert main(["map", "align", str(path), "--to", str(path / "map.yaml")]) == 2
    assert "nav2/map.yaml" in capsys.readouterr().err
    bare = write_map(tmp_path / "bare", Building((1,)), tour(0, 0)[:4], grid=False)
    assert main(["map", "align", str(bare), "--to", str(user)]) == 2
    assert "no occupancy grid" in capsys.readouterr().err


def test_maps_of_the_map_server_are_read_in_all_its_modes(tmp_path):
    image = np.array([[0, 254, 205], [254, 254, 0]], np.uint8)
    (tmp_path / "m.pgm").write_bytes(b"P5\n3 2\n255\n" + image.tobytes())
    entry = "image: m.pgm\nresolution: 0.5\norigin: [1, 2, 0.5]\noccupied_thresh: 0.65\nfree_thresh: 0.196\n"
    (tmp_path / "a.yaml").write_text(entry + "negate: 0\n")
    grid = load_nav2_map(tmp_path / "a.yaml")
    assert grid.occupied.tolist() == [[False, False, True], [True, False, False]]
    assert grid.free.tolist() == [[True, True, False], [False, True, False]]
    np.testing.assert_allclose(grid.occupied_points()[0], Pose2(1, 2, 0.5).apply(np.array([1.25, 0.25])))
    (tmp_path / "b.yaml").write_text(entry + "negate: 1\n")
    assert load_nav2_map(tmp_path / "b.yaml").occupied[0].tolist() == [True, True, False]
    (tmp_path / "c.yaml").write_text(entry + "mode: raw\n")
    assert load_nav2_map(tmp_path / "c.yaml").free.tolist() == [[False, False, True], [True, False, False]]
    (tmp_path / "d.yaml").write_text("image: m.pgm\n")
    with pytest.raises(BadInputError, match="resolution"):
        load_nav2_map(tmp_path / "d.yaml")
