import math
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.geometry import Pose3
from astra.ros.tf import TransformTree, TransformUnavailableError

pytestmark = pytest.mark.ros
SECOND = 1_000_000_000


def pose(*values: float) -> Pose3:
    x, y, z, roll, pitch, yaw = values
    return Pose3.from_rpy(roll, pitch, yaw, np.array([x, y, z]))


numbers = st.tuples(*[st.floats(-5.0, 5.0)] * 3, *[st.floats(-1.5, 1.5)] * 3)


def tree(transforms: list[Pose3]) -> TransformTree:
    """map → odom → base_link moving, base_link → cam and base_link → imu fixed."""
    out = TransformTree()
    for stamp in (0, SECOND):
        out.insert("map", "odom", transforms[0], stamp)
        out.insert("odom", "base_link", transforms[1], stamp)
    out.insert("base_link", "cam", transforms[2], 0, static=True)
    out.insert("base_link", "imu", transforms[3], 0, static=True)
    return out


@settings(max_examples=40, deadline=None)
@given(st.lists(numbers, min_size=4, max_size=4))
def test_lookups_are_products_of_matrices(values: list[tuple[float, ...]]) -> None:
    poses = [pose(*v) for v in values]
    map_from_odom, odom_from_base, base_from_cam, base_from_imu = (p.matrix() for p in poses)
    transforms = tree(poses)
    np.testing.assert_allclose(transforms.lookup("map", "cam", SECOND // 2).matrix(), map_from_odom @ odom_from_base @ base_from_cam, atol=1e-9)
    np.testing.assert_allclose(transforms.lookup("imu", "cam").matrix(), np.linalg.inv(base_from_imu) @ base_from_cam, atol=1e-9)
    back = transforms.lookup("cam", "map", SECOND).matrix()
    np.testing.assert_allclose(back @ transforms.lookup("map", "cam", SECOND).matrix(), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(transforms.lookup("cam", "cam").matrix(), np.eye(4), atol=1e-12)


@settings(deadline=None)
@given(numbers, numbers, st.integers(0, SECOND))
def test_between_two_stamps_it_moves_along_the_line_and_the_great_circle(first: tuple[float, ...], second: tuple[float, ...], stamp: int) -> None:
    a, b = pose(*first), pose(*second)
    transforms = TransformTree()
    transforms.insert("odom", "base", b, SECOND)
    transforms.insert("odom", "base", a, 0)  # out of order
    u = stamp / SECOND
    between = transforms.lookup("odom", "base", stamp)
    np.testing.assert_allclose(between.translation, (1 - u) * a.translation + u * b.translation, atol=1e-6)
    whole = a.angle_to(b)
    if whole < 3.0:  # the shorter way round is unique
        assert a.angle_to(between) == pytest.approx(u * whole, abs=2e-3)
        assert between.angle_to(b) == pytest.approx((1 - u) * whole, abs=2e-3)


def test_the_newest_common_stamp_counts_if_none_is_given() -> None:
    transforms = TransformTree()
    for second in range(5):
        transforms.insert("odom", "base", pose(float(second), 0, 0, 0, 0, 0), second * SECOND)
    for second in range(3):
        transforms.insert("map", "odom", pose(0, float(second), 0, 0, 0, 0), second * SECOND)
    np.testing.assert_allclose(transforms.lookup("map", "base").translation, [2.0, 2.0, 0.0])
    assert transforms.newest_ns("map", "base") == 2 * SECOND
    assert transforms.newest_ns("odom", "base") == 4 * SECOND
    assert transforms.newest_ns("map", "nowhere") is None


@pytest.mark.parametrize(("stamp", "word"), [(-SECOND, "before"), (3 * SECOND, "after")])
def test_it_never_extrapolates(stamp: int, word: str) -> None:
    with pytest.raises(TransformUnavailableError, match=f"{abs(stamp - (0 if word == 'before' else SECOND)) / SECOND:.3f} s {word}"):
        tree([Pose3()] * 4).lookup("odom", "base_link", stamp)


def test_frames_that_are_not_connected_are_named() -> None:
    transforms = tree([Pose3()] * 4)
    with pytest.raises(TransformUnavailableError, match=r"'map'.*'moon'|'moon'.*'map'"):
        transforms.lookup("map", "moon")
    transforms.insert("a", "b", Pose3(), 0)
    transforms.insert("b", "a", Pose3(), 0)
    with pytest.raises(TransformUnavailableError, match="loop"):
        transforms.lookup("map", "a")


def test_a_new_parent_replaces_the_old_one_and_old_entries_leave_the_cache() -> None:
    transforms = TransformTree(cache_s=1.0)
    for i in range(100):
        transforms.insert("odom", "base", Pose3(), i * SECOND // 10)
    with pytest.raises(TransformUnavailableError, match="before"):
        transforms.lookup("odom", "base", SECOND)
    transforms.insert("world", "base", Pose3(), 20 * SECOND)
    with pytest.raises(TransformUnavailableError, match="not connected"):
        transforms.lookup("odom", "base")
    assert transforms.newest_ns("world", "base") == 20 * SECOND


def test_after_clearing_only_fixed_frames_are_known() -> None:
    transforms = tree([Pose3()] * 4)
    transforms.clear()
    assert transforms.newest_ns("imu", "cam") == 0
    with pytest.raises(TransformUnavailableError):
        transforms.lookup("odom", "base_link")


class FakeTf2Error(Exception):
    pass


@pytest.fixture
def system_tf2(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The calls of the real tf2_ros that we use, on our own tree: proves what we pass to it and what we make of its answers."""

    class Buffer:
        def __init__(self, cache_time: object) -> None:
            assert cache_time.nanoseconds == 10 * SECOND  # type: ignore[attr-defined]
            self.tree = TransformTree()

        def _set(self, message: object, authority: str, static: bool) -> None:
            from astra.ros.conversions import ns_from_stamp, pose3_from_transform

            assert authority
            header = message.header  # type: ignore[attr-defined]
            relative = pose3_from_transform(message.transform)  # type: ignore[attr-defined]
            self.tree.insert(header.frame_id, message.child_frame_id, relative, ns_from_stamp(header.stamp), static=static)  # type: ignore[attr-defined]

        def set_transform(self, message: object, authority: str) -> None:
            self._set(message, authority, False)

        def set_transform_static(self, message: object, authority: str) -> None:
            self._set(message, authority, True)

        def lookup_transform(self, target: str, source: str, time: object) -> object:
            from astra.ros.conversions import transform_stamped

            try:
                found = self.tree.lookup(target, source, time.nanoseconds or None)  # type: ignore[attr-defined]
            except TransformUnavailableError as error:
                raise FakeTf2Error(str(error)) from error
            return transform_stamped(target, source, found, 0)

        def get_latest_common_time(self, target: str, source: str) -> object:
            newest = self.tree.newest_ns(target, source)
            if newest is None:
                raise FakeTf2Error("not connected")
            return SimpleNamespace(nanoseconds=newest)

        def clear(self) -> None:
            self.tree.clear()

    module = ModuleType("tf2_ros")
    module.Buffer, module.TransformException = Buffer, FakeTf2Error  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "tf2_ros", module)
    yield


def test_the_systems_tf2_is_used_where_it_is_installed(system_tf2: None) -> None:
    from astra.ros.tf import SystemTree, _new_tree

    transforms = _new_tree(10.0)
    assert isinstance(transforms, SystemTree)
    transforms.insert("map", "odom", pose(1, 2, 0, 0, 0, math.pi / 2), SECOND)
    transforms.insert("odom", "base_link", pose(1, 0, 0, 0, 0, 0), SECOND)
    transforms.insert("base_link", "cam", pose(0, 0, 1, 0, 0, 0), 0, static=True)
    np.testing.assert_allclose(transforms.lookup("map", "cam", SECOND).translation, [1, 3, 1], atol=1e-9)
    np.testing.assert_allclose(transforms.lookup("map", "cam").translation, [1, 3, 1], atol=1e-9)
    assert transforms.newest_ns("map", "cam") == SECOND
    assert transforms.newest_ns("map", "moon") is None
    with pytest.raises(TransformUnavailableError):
        transforms.lookup("map", "moon")
    transforms.clear()
    assert transforms.newest_ns("map", "odom") is None


def test_without_a_system_tf2_it_is_ours() -> None:
    pytest.importorskip("tf2_msgs")
    try:
        import tf2_ros  # noqa: F401
    except ImportError:
        from astra.ros.tf import _new_tree

        assert isinstance(_new_tree(10.0), TransformTree)
    else:
        pytest.skip("this machine has tf2_ros")
