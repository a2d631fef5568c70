"""Bad pictures are found, good ones are believed, and a robot that stands still may see the same picture for ever."""

from __future__ import annotations

import numpy as np

from astra.local_model.health import CameraHealth, CameraState

RNG = np.random.default_rng(0)


def picture(level: float = 120.0, spread: float = 30.0) -> np.ndarray:
    return np.clip(RNG.normal(level, spread, (48, 64, 3)), 0, 255).astype(np.uint8)


def test_black_saturated_and_missing_pictures_are_told_apart() -> None:
    health = CameraHealth(["a", "b", "c", "d", "e"])
    images = {"a": picture(), "b": picture(3.0, 2.0), "c": picture(255.0, 2.0), "d": None}
    states = health.judge(images)
    assert list(states.values()) == [CameraState.WORKS, CameraState.BLACK, CameraState.SATURATED, CameraState.MISSING, CameraState.MISSING]


def test_a_dark_room_and_a_white_wall_are_no_fault() -> None:
    states = CameraHealth(["dark", "white"]).judge({"dark": picture(30.0, 8.0), "white": picture(225.0, 8.0)})
    assert set(states.values()) == {CameraState.WORKS}


def test_the_same_picture_is_frozen_only_if_the_robot_moves() -> None:
    health, same = CameraHealth(["a"]), picture()
    assert [health.judge({"a": same})["a"] for _ in range(5)] == [CameraState.WORKS] * 5
    assert health.judge({"a": same}, moved_m=0.2)["a"] is CameraState.FROZEN
    assert health.judge({"a": picture()}, moved_m=0.2)["a"] is CameraState.WORKS
    turning = [health.judge({"a": same}, turned_rad=0.04)["a"] for _ in range(4)]
    assert turning[-1] is CameraState.FROZEN and turning[0] is CameraState.WORKS
