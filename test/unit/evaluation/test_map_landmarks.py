"""Landmarks judged against a world of two signs, worked out on paper."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.datasets.drive import MoverTracks
from astra.evaluation.map_landmarks import LandmarkScore, WorldSight, judge_landmarks, shown_signs, true_signs
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera, Trajectory
from astra.sim.world import World
from astra.sim.worlds.truth import Instance, WorldTruth
from astra.sim.worlds.truth import Landmark as TrueLandmark
from astra.topomap import Landmark, MapInfo, Node, TopoMap

LETTER_M = 0.15
MAP_FROM_WORLD = Pose2(4.0, -2.0, 0.7)
PATH = Trajectory(np.arange(5, dtype=np.int64) * 10**9, np.array([(0.5 * k, 0.0, 0.0) for k in range(5)]))


class Open:
    """Nothing hides anything, but at one moment."""

    def __init__(self, hidden_ns: tuple[int, ...] = ()) -> None:
        self.hidden_ns = hidden_ns

    def clear(self, stamp_ns: int, eye: FloatArray, points: FloatArray) -> float:
        return 0.5 if stamp_ns in self.hidden_ns else 1.0


def _truth() -> WorldTruth:
    """A sign ahead of the path's end, at 3 m, and its twin 4 m further left that faces away."""
    instances = tuple(
        Instance(k, "sign", "hall", (3.0, y, 1.0), (0.04, 1.9 * LETTER_M * 2, 1.9 * LETTER_M), yaw, "white") for k, y, yaw in ((1, 0.0, math.pi), (2, 4.0, 0.0))
    )
    marks = tuple(TrueLandmark(i.id, "sign", "ROOM 12", "white", (), i.centre, "hall") for i in instances)
    free = np.ones((4, 4), bool)
    return WorldTruth((), (), np.zeros((0, 2)), Pose2(), free, 0.05, (0.0, 0.0), landmarks=marks, instances=instances)


def _rig() -> CameraRig:
    return CameraRig((RigCamera("front", CameraModel.from_fov(224, 160, math.pi / 2), Pose3(BODY_FROM_OPTICAL.rotation, np.array([0.0, 0.0, 1.0]))),))


def _map(*marks: tuple[str, float, float, float]) -> TopoMap:
    """The path's places in another frame, and text landmarks at world positions."""
    nodes = {}
    for k, stamp in enumerate(PATH.stamps_ns):
        nodes[k] = Node(k, int(stamp), Pose3.from_pose2(MAP_FROM_WORLD @ PATH.at(int(stamp))), (), (), 0)
    landmarks = {}
    for k, (text, x, y, z) in enumerate(marks):
        at = MAP_FROM_WORLD.apply(np.array([[x, y]]))[0]
        landmarks[k] = Landmark(k, text, True, "", "", np.array([*at, z]), 0.1, (0, 1), ())
    return TopoMap(MapInfo("m", "odometry"), {}, nodes, (), landmarks)


def test_a_sign_is_shown_where_its_letters_are_high_enough_in_view_and_faced() -> None:
    shown = shown_signs(_truth(), _rig(), PATH, [int(s) for s in PATH.stamps_ns], Open())
    # Closest at 1 m: 112 px · 0.15 m / 1 m; the twin faces away.
    assert shown == {1: pytest.approx(112 * LETTER_M / 1.0)}
    assert shown_signs(_truth(), _rig(), PATH, [0], Open()) == {}  # 3 m away: 5.6 px


def test_what_is_hidden_in_the_best_image_counts_by_the_next() -> None:
    stamps = [int(s) for s in PATH.stamps_ns]
    shown = shown_signs(_truth(), _rig(), PATH, stamps, Open(hidden_ns=(stamps[-1],)))
    assert shown == {}  # the next is 1.5 m away: 11.2 px
    assert true_signs(_truth())[0].letter_m == pytest.approx(LETTER_M)


def test_right_doubled_wrong_and_missed_landmarks() -> None:
    score = judge_landmarks(
        _map(("Room 12", 3.1, 0.0, 1.0), ("ROOM 12", 3.0, 0.5, 1.0), ("ROOM 13", 3.0, 0.0, 1.0), ("EXIT", 0.0, 0.0, 1.0)), _truth(), PATH, {1: 16.8, 2: 14.0}
    )
    assert (score.shown, score.found, score.landmarks, score.right) == (2, 1, 4, 1)
    assert score.recall == 0.5 and score.precision == 0.25
    assert score.errors_m == (pytest.approx(0.1),) and score.within(0.3) == 1.0 and score.within(0.05) == 0.0
    assert score.missed == ("'ROOM 12' (14 px)",)
    assert len(score.wrong) == 3 and any("there already" in text for text in score.wrong)
    both = score + score
    assert both.recall == 0.5 and len(both.errors_m) == 2


def test_two_plates_of_one_text_are_two_landmarks() -> None:
    score = judge_landmarks(_map(("ROOM 12", 3.0, 4.0, 1.2), ("ROOM 12", 3.0, 0.0, 1.0)), _truth(), PATH, {1: 16.8, 2: 14.0})
    assert score.recall == 1.0 and score.precision == 1.0
    assert sorted(score.errors_m) == [pytest.approx(0.0, abs=1e-9), pytest.approx(0.2)]


def test_nothing_to_judge_by() -> None:
    empty = LandmarkScore(0, 0, 0, 0)
    assert math.isnan(empty.recall) and math.isnan(empty.precision) and math.isnan(empty.within())
    topo = _map()
    lonely = dataclasses.replace(topo, nodes={k: topo.nodes[k] for k in (0, 1)})
    with pytest.raises(BadInputError, match="three nodes"):
        judge_landmarks(lonely, _truth(), PATH, {})


def test_walls_and_people_hide(tmp_path: Path) -> None:
    scene = tmp_path / "scene.xml"
    scene.write_text('<mujoco><worldbody><geom type="box" pos="1 0 0.5" size="0.05 0.5 0.5"/></worldbody></mujoco>')
    eye, points = np.array([0.0, 0.0, 0.9]), np.array([[2.0, 0.0, 0.9], [2.0, 0.0, 1.6], [0.95, 0.0, 0.9]])
    sight = WorldSight(World("yard", scene))
    assert [sight.clear(0, eye, p[None]) for p in points] == [0.0, 1.0, 1.0]  # through the box, over it, onto it
    movers = MoverTracks(np.array([0, 10**9]), np.array([[[0.5, 2.0, 0.3]], [[0.5, 0.0, 0.3]]]))
    crowded = WorldSight(World("yard", scene), movers)
    assert crowded.clear(0, eye, points) == pytest.approx(2 / 3)
    assert crowded.clear(10**9, eye, points) == 0.0
