"""The eyes that are shipped: a camera that fails leaves unknown what it alone saw, at once in a look, after two seconds in the memory."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from astra.core.paths import share_dir
from astra.geometry import Pose2
from astra.local_model.health import CameraState
from astra.local_model.runtime import Eyes, View
from astra.sim.robot import RobotConfig

TICK_NS = 500_000_000
FAULTS = {"black": CameraState.BLACK, "white": CameraState.SATURATED, "frozen": CameraState.FROZEN, "missing": CameraState.MISSING}


@functools.cache
def place() -> np.ndarray:
    """A picture of the shipped map."""
    picture = cv2.imread(str(share_dir() / "maps" / "demo_office" / "images" / "00012_front.jpg"))
    return cv2.resize(picture[..., ::-1], (160, 120), interpolation=cv2.INTER_AREA)[4:116]


def room(name: str, tick: int) -> np.ndarray:
    """The same view for every camera, with noise that no two pictures share."""
    noise = np.random.default_rng([tick, len(name)]).integers(-6, 7, place().shape)
    return (place().astype(int) + noise).clip(0, 255).astype(np.uint8)


def spoiled(fault: str, tick: int) -> np.ndarray | None:
    return {"black": np.zeros((112, 160, 3), np.uint8), "white": np.full((112, 160, 3), 255, np.uint8), "frozen": room("front", 0), "missing": None}[fault]


def drive(fault: str | None) -> View:
    """Three seconds with a slow turn; the first camera fails after the first look."""
    rig = RobotConfig().rig()
    eyes = Eyes(share_dir() / "models" / "eyes", rig)
    front = rig.names[0]
    for tick in range(7):
        images: dict[str, np.ndarray | None] = {name: room(name, tick) for name in rig.names}
        if fault is not None and tick:
            images[front] = spoiled(fault, tick)
        view = eyes.see(images, tick * TICK_NS, Pose2(0.0, 0.0, 0.0 if fault is None or fault != "frozen" else 0.04 * tick))
    return view


@pytest.fixture(scope="module")
def well() -> View:
    return drive(None)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_failed_camera_alone_saw_is_unknown(fault: str, well: View) -> None:
    view = drive(fault)
    front = RobotConfig().rig().names[0]
    assert view.cameras[front] is FAULTS[fault]
    assert all(state is CameraState.WORKS for name, state in view.cameras.items() if name != front)
    ahead = np.zeros_like(well.wide_seen)
    ahead[22:26, 30:40] = True  # a narrow strip, 1.2 to 3.2 m before the robot: no other camera looks there
    assert (well.wide_seen & ahead).sum() >= 10 and not (view.wide_seen & ahead).any()
    close = np.zeros_like(well.near_seen)
    close[18:22, 32:40] = True
    assert (well.near_seen & close).any() and not (view.near_seen & close).any() and not (view.recent_seen & close).any()
    elsewhere = np.zeros_like(well.wide_seen)
    elsewhere[30:40, 22:26] = True  # to the left
    assert (view.wide_seen & elsewhere).sum() >= 0.9 * (well.wide_seen & elsewhere).sum() > 0


def test_blind_eyes_know_nothing() -> None:
    rig = RobotConfig().rig()
    view = Eyes(share_dir() / "models" / "eyes", rig).see({}, 0, Pose2())
    assert not view.wide_seen.any() and not view.near_seen.any() and not view.recent_seen.any()


def test_graphs_are_as_torch_computed_them() -> None:
    told = json.loads((share_dir() / "models" / "eyes" / "eyes.json").read_text())
    assert set(told["difference_from_torch"]) >= {"look", "settle"} and max(told["difference_from_torch"].values()) <= 1e-3
    assert sum(file.stat().st_size for file in Path(share_dir() / "models" / "eyes").iterdir()) < 40e6
