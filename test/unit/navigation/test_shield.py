"""The shield: what it never lets through, who drives instead, and what masks forbid."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.navigation.footprint import Footprint
from astra.navigation.gate import Ages
from astra.navigation.masks import FilterMask, MaskKind, Ruled, Rules, load_mask
from astra.navigation.planner import ClassicalPlanner
from astra.navigation.protocols import LocalPath, LocalPlanError, LocalScene, NoLocalPath, Planner, Subgoal
from astra.navigation.shield import Foretold, Reason, Shield, ShieldConfig, ShieldedPlanner, occupied_points

FRESH = Ages(0.05, 0.02)
GOAL = Subgoal(Pose2(2.0, 0.0, 0.0))


def line(length_m: float = 2.0, yaw: float = 0.0, speed: float = 0.5, count: int = 13) -> LocalPath:
    """Straight on from the origin."""
    s = np.linspace(0.0, length_m, count)
    return LocalPath(0, np.stack([s * math.cos(yaw), s * math.sin(yaw), np.full(count, yaw)], axis=1), np.full(count, speed))


class Scripted:
    """A planner that answers what it is told, path or error."""

    def __init__(self, answer: LocalPath | Exception) -> None:
        self.answer = answer

    def plan(self, scene: LocalScene, subgoal: Subgoal) -> LocalPath:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def reset(self) -> None:
        pass


@pytest.fixture(scope="module")
def room(lab) -> LocalScene:
    return lab.look(lab.room(), Pose2())


def facing_wall(lab, at_m: float) -> LocalScene:
    return lab.look(np.concatenate([lab.room(), lab.box(at_m, -1.0, at_m + 0.1, 1.0)]), Pose2())


def test_a_path_in_the_open_passes_unchanged(room) -> None:
    verdict = Shield().judge(line(), room)
    assert (verdict.reason, verdict.touch_s) == (Reason.OK, math.inf)
    assert np.array_equal(verdict.path.speeds_mps, line().speeds_mps)


def test_a_wall_close_ahead_refuses_and_one_far_ahead_cuts_and_slows(lab) -> None:
    assert Shield().judge(line(), facing_wall(lab, 0.8)).reason is Reason.COLLISION
    far = Shield().judge(line(), facing_wall(lab, 1.9))
    assert far.reason is Reason.SLOWED
    assert not far.path.reaches_subgoal
    assert far.path.poses[-1, 0] + 0.22 < 1.9
    assert far.path.speeds_mps[-1] == 0.0
    assert 2.0 <= far.touch_s < 10.0


@pytest.mark.parametrize("seed", range(8))
def test_no_path_that_passes_touches_the_true_walls(lab, seed: int) -> None:
    """Curved paths among random boxes, swept with the exact distance to the walls."""
    rng = np.random.default_rng(seed)
    boxes = [lab.box(x, y, x + 0.3, y + 0.3) for x, y in rng.uniform((0.5, -1.2), (2.5, 1.0), (4, 2))]
    segments = np.concatenate([lab.room(), *boxes])
    scene, shield = lab.look(segments, Pose2(), noise_m=0.0), Shield()
    for bend in np.linspace(-1.0, 1.0, 9):
        s = np.linspace(0.0, 1.8, 13)
        yaw = bend * s
        xy = np.concatenate([[[0.0, 0.0]], np.cumsum(np.diff(s)[:, None] * np.stack([np.cos(yaw[:-1]), np.sin(yaw[:-1])], axis=1), axis=0)])
        verdict = shield.judge(LocalPath(0, np.column_stack([xy, yaw]), np.full(13, 0.5)), scene)
        if verdict.path is not None:
            dense = np.concatenate([np.linspace(a, b, 10) for a, b in zip(verdict.path.poses[:-1, :2], verdict.path.poses[1:, :2])])
            assert lab.distance(segments, dense).min() > 0.21  # corners between two beams may lie a centimetre nearer


def test_the_long_side_of_an_outline_counts_where_it_turns(lab) -> None:
    walls = np.concatenate([lab.room(), lab.box(-2.0, 0.3, 2.0, 0.4)])
    outline = Footprint.polygon(np.array([(0.5, 0.2), (0.5, -0.2), (-0.3, -0.2), (-0.3, 0.2)]))
    turning = LocalPath(0, np.array([(0.0, 0.0, math.pi / 2), (0.0, 0.01, math.pi / 2)]), np.full(2, 0.2))
    assert Shield(footprint=outline).judge(turning, lab.look(walls, Pose2())).reason is Reason.COLLISION


def test_narrow_places_unseen_ones_and_curves_slow(lab, room) -> None:
    corridor = lab.look(np.concatenate([lab.box(-3, 0.3, 3, 0.4), lab.box(-3, -0.4, 3, -0.3)]), Pose2())
    assert Shield().judge(line(speed=0.6), corridor).path.speeds_mps.max() < 0.35
    unseen = replace(room, grid=replace(room.grid, known=np.zeros_like(room.grid.known)))
    assert Shield().judge(line(), unseen).path.speeds_mps.max() == pytest.approx(0.3)
    yaw = np.linspace(0.0, 2.0, 13)
    curve = LocalPath(0, np.column_stack([0.3 * np.sin(yaw), 0.3 * (1 - np.cos(yaw)), yaw]), np.full(13, 0.6))
    assert Shield().judge(curve, room).path.speeds_mps[:-1].max() <= math.sqrt(0.5 * 0.3) + 0.01


def test_what_no_wheels_can_follow_is_refused(room) -> None:
    shield, path = Shield(), line()
    sideways, far, broken = path.poses.copy(), path.poses + np.array([0.3, 0.0, 0.0]), path.poses.copy()
    sideways[:, 2], broken[5, 1] = 0.8, math.nan
    reasons = [shield.judge(replace(path, poses=poses), room).reason for poses in (sideways, far, broken)]
    assert reasons == [Reason.NOT_DRIVABLE, Reason.NOT_FROM_HERE, Reason.NOT_FINITE]


def test_what_is_foretold_counts_at_its_time_only(room) -> None:
    """At 0.5 m/s the robot passes x = 0.5 after a second; who stands there before or after is not in the way."""
    person = np.array([(0.5, 0.0)])
    nobody = np.zeros((0, 2))

    def reason(*moments: np.ndarray) -> Reason:
        return Shield().judge(line(), room, tuple(Foretold(k + 1.0, points) for k, points in enumerate(moments))).reason

    assert reason(person, nobody) is Reason.COLLISION_AHEAD
    assert reason(nobody, nobody, nobody, person) is Reason.OK


def test_cells_of_the_eyes_become_points_around_the_robot() -> None:
    cells = np.zeros((4, 4), dtype=bool)
    cells[2, 3] = True  # x 0.1 … 0.2, y 0 … 0.1
    points = occupied_points(cells, 0.1, Pose2(1.0, 2.0, math.pi / 2))
    assert points.min(axis=0) == pytest.approx((0.9, 2.1))
    assert points.max(axis=0) == pytest.approx((1.0, 2.2))


def test_it_is_quick(lab) -> None:
    """Typically under two milliseconds of CPU with four foretold moments; docs/PLANNER.md has the spread over many scenes."""
    scene, shield = facing_wall(lab, 1.9), Shield()
    foretold = tuple(Foretold(0.5 * k, scene.grid.points) for k in range(1, 5))

    def once() -> float:
        began = time.thread_time()
        shield.judge(line(), scene, foretold)
        return time.thread_time() - began

    assert sorted(once() for _ in range(40))[20] < 0.004  # a busy machine takes twice as long


# --- who drives -------------------------------------------------------------------------------------------------------------------------


def shielded(answer: LocalPath | Exception, ages: Ages = FRESH, **more) -> ShieldedPlanner:
    return ShieldedPlanner(Scripted(answer), ClassicalPlanner(), Shield(ShieldConfig(return_after=3)), lambda: ages, **more)


def test_a_good_learned_path_drives(room) -> None:
    planner = shielded(line())
    assert isinstance(planner, Planner)
    assert np.array_equal(planner.plan(room, GOAL).poses, line().poses)
    assert (planner.counts.ticks, planner.counts.fallback_rate) == (1, 0.0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (LocalPlanError(NoLocalPath.SUBGOAL_UNREACHABLE, "no"), Reason.NO_PATH),
        (RuntimeError("broken"), Reason.FAILED),
        (line(4.9, math.pi / 2), Reason.COLLISION_AHEAD),
    ],
)
def test_whatever_is_wrong_with_it_the_fallback_drives_and_it_is_counted(room, answer: LocalPath | Exception, reason: Reason) -> None:
    foretold = (Foretold(1.0, np.array([(0.0, 0.5)])), Foretold(2.0, np.zeros((0, 2))))
    planner = shielded(answer, foretold=lambda _: foretold)
    assert planner.plan(room, GOAL).end().x == pytest.approx(2.0)
    assert dict(planner.counts.reasons) == {reason: 1}


def test_the_learned_planner_returns_after_some_good_paths_in_a_row(room) -> None:
    planner = shielded(RuntimeError("broken"))
    planner.plan(room, GOAL)
    planner._learned.answer = line(1.0)
    ends = [planner.plan(room, GOAL).end().x for _ in range(4)]
    assert ends == pytest.approx([2.0, 2.0, 1.0, 1.0])
    assert planner.counts.reasons == {Reason.FAILED: 1, Reason.WAITING: 2}
    assert (planner.counts.takeovers, planner.counts.fallbacks) == (1, 3)


def test_a_late_path_is_of_no_use(room) -> None:
    moments = iter((0.0, 1.0))
    planner = shielded(line(), clock=lambda: next(moments))
    planner.plan(room, GOAL)
    assert dict(planner.counts.reasons) == {Reason.LATE: 1}


@pytest.mark.parametrize("ages", [Ages(0.6, 0.0), Ages(0.0, 0.6), Ages(math.inf, 0.0), Ages(math.nan, 0.0)])
def test_stale_inputs_stop(room, ages: Ages) -> None:
    with pytest.raises(LocalPlanError) as caught:
        shielded(line(), ages).plan(room, GOAL)
    assert caught.value.reason is NoLocalPath.STALE


# --- masks ------------------------------------------------------------------------------------------------------------------------------


def mask(kind: MaskKind, value: float, x: float = 0.8, **more: float) -> FilterMask:
    """`value` for a metre from x on, between y = −1 and 1; the map's frame is odom turned by a quarter."""
    return FilterMask(kind, np.full((10, 20), value), 0.1, Pose2(-1.0, x, 0.0), **more)


TURNED = Pose2(0.0, 0.0, math.pi / 2)


def rules(*masks: FilterMask) -> Rules:
    return Rules(masks, TURNED)


def test_a_keep_out_zone_is_no_way_for_anybody(room) -> None:
    held = rules(mask(MaskKind.KEEP_OUT, 100))
    planner = shielded(line(), rules=lambda: held)
    path = planner.plan(room, GOAL)
    inside = (np.abs(path.poses[:, 1]) < 1.0 + 0.2) & (np.abs(path.poses[:, 0] - 1.3) < 0.5 + 0.2)
    assert not inside.any()
    assert planner.counts.reasons[Reason.COLLISION] == 1


@pytest.mark.parametrize("value", [99, 0, -1])
def test_only_lethal_values_keep_out(room, value: float) -> None:
    assert rules(mask(MaskKind.KEEP_OUT, value)).applied(room.grid) is room.grid


@pytest.mark.parametrize(
    ("kind", "value", "more", "expected"),
    [
        (MaskKind.SPEED_PERCENT, 50, {}, 0.3),
        (MaskKind.SPEED_ABSOLUTE, 20, {"multiplier": 0.01}, 0.2),
        (MaskKind.SPEED_ABSOLUTE, 20, {"base": 0.1, "multiplier": 0.005}, 0.2),
        (MaskKind.SPEED_PERCENT, 0, {}, 0.5),
        (MaskKind.SPEED_PERCENT, -1, {}, 0.5),
        (MaskKind.SPEED_PERCENT, 100, {"base": 50.0}, 0.5),
    ],
)
def test_speed_limits_hold_in_their_zone_for_both_planners(room, kind: MaskKind, value: float, more: dict[str, float], expected: float) -> None:
    held = rules(mask(kind, value, **more))
    learned = shielded(line(), rules=lambda: held).plan(room, GOAL)
    zone = (learned.poses[:, 0] > 0.85) & (learned.poses[:, 0] < 1.75)
    assert learned.speeds_mps[zone] == pytest.approx(expected)
    assert learned.speeds_mps[learned.poses[:, 0] < 0.75] == pytest.approx(0.5)
    fallback = shielded(RuntimeError("broken"), rules=lambda: held).plan(room, GOAL)
    assert fallback.speeds_mps[(fallback.poses[:, 0] > 0.85) & (fallback.poses[:, 0] < 1.75)].max() <= max(expected, 0.6 * (expected == 0.5)) + 1e-9


def test_masks_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadInputError):
        mask(MaskKind.KEEP_OUT, 101)
    with pytest.raises(BadInputError):
        mask(MaskKind.KEEP_OUT, math.nan)


def test_masks_are_read_as_map_server_keeps_them(tmp_path) -> None:
    import cv2

    image = np.full((4, 6), 255, np.uint8)
    image[0, 5] = 0  # the picture's top right: the mask's last row
    image[3, 0] = 102
    cv2.imwrite(str(tmp_path / "mask.png"), image)
    told = "image: mask.png\nresolution: 0.5\norigin: [1.0, 2.0, 0.0]\nnegate: 0\noccupied_thresh: 1.0\nfree_thresh: 0.0\nmode: scale\n"
    (tmp_path / "mask.yaml").write_text(told)
    speed = load_mask(MaskKind.SPEED_PERCENT, tmp_path / "mask.yaml")
    assert speed.at(np.array([[1.1, 2.1], [3.9, 3.9], [1.1, 3.9]])).tolist()[:2] == [60.0, 100.0]
    (tmp_path / "mask.yaml").write_text(told.replace("scale", "raw"))
    for wrong in ("mask.yaml", "none.yaml"):
        with pytest.raises(BadInputError):
            load_mask(MaskKind.KEEP_OUT, tmp_path / wrong)


def test_a_planner_alone_keeps_to_masks_too(room) -> None:
    free = ClassicalPlanner().plan(room, GOAL)
    ruled = Ruled(ClassicalPlanner(), lambda: Rules((mask(MaskKind.SPEED_ABSOLUTE, 20.0, base=0.0, multiplier=0.01),), TURNED), 0.6)
    slow = ruled.plan(room, GOAL)
    assert slow.speeds_mps.min() < 0.25 and free.speeds_mps.max() > 0.25
    ruled.reset()
    untouched = Ruled(ClassicalPlanner(), lambda: None, 0.6).plan(room, GOAL)
    assert untouched.speeds_mps == pytest.approx(free.speeds_mps)
