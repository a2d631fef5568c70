"""Images of one moment: complete sets first, stale and broken stamps refused by name."""

import pytest

from astra.core.errors import ConfigError
from astra.ros.camera_sync import CameraSync, CameraSyncConfig, ImageRefusal

NAMES = ("front", "left", "back", "right")
S = 10**9


def filled(stamp_ns, names=NAMES, sync=None, now_ns=None):
    sync = sync or CameraSync(NAMES)
    for name in names:
        sync.add(name, stamp_ns, f"{name}@{stamp_ns}", stamp_ns if now_ns is None else now_ns)
    return sync


def test_set_of_one_moment():
    sync = filled(10 * S)
    found = sync.newest(10 * S)
    assert found.stamp_ns == 10 * S and set(found.messages) == set(NAMES) and found.missing == ()


def test_newest_complete_set_wins_over_a_newer_partial_one():
    sync = filled(10 * S)
    filled(10 * S + S // 10, NAMES[:2], sync)
    assert sync.newest(10 * S + S // 10).stamp_ns == 10 * S


def test_jitter_within_the_tolerance_is_one_moment_and_beyond_it_is_not():
    sync = CameraSync(("front", "left"), CameraSyncConfig(tolerance_s=0.05))
    sync.add("front", 10 * S, "f", 10 * S)
    sync.add("left", 10 * S + 40_000_000, "l", 10 * S)
    assert set(sync.newest(10 * S).messages) == {"front", "left"}
    sync.clear()
    sync.add("front", 20 * S, "f", 20 * S)
    sync.add("left", 20 * S + 60_000_000, "l", 20 * S)
    assert len(sync.newest(20 * S).messages) == 1


def test_dead_camera_is_missing_and_silent_and_the_others_go_on():
    sync = filled(10 * S, NAMES[:3])
    assert sync.newest(10 * S).missing == ("right",) and sync.silent(10 * S) == ("right",)
    strict = filled(10 * S, NAMES[:3], CameraSync(NAMES, CameraSyncConfig(min_cameras=4)))
    assert strict.newest(10 * S) is None


def test_old_images_give_no_set():
    sync = filled(10 * S)
    assert sync.newest(11 * S + 1) is None
    assert sync.silent(12 * S) == NAMES


@pytest.mark.parametrize(
    ("stamp_ns", "refusal"),
    [(8 * S, ImageRefusal.OLD), (10 * S + S, ImageRefusal.AHEAD), (10 * S - S // 10, ImageRefusal.OUT_OF_ORDER), (10 * S, ImageRefusal.OUT_OF_ORDER)],
)
def test_refusals_are_named_and_counted(stamp_ns, refusal):
    sync = filled(10 * S)
    assert sync.add("front", stamp_ns, "x", 10 * S) is refusal
    assert sync.refused[refusal] == 1
    assert sync.newest(10 * S).messages["front"] == f"front@{10 * S}"


def test_clock_that_jumps_back_empties_the_buffers():
    sync = filled(100 * S)
    assert sync.add("front", 5 * S, "new", 5 * S) is ImageRefusal.CLOCK_JUMP_BACK
    found = sync.newest(5 * S)
    assert found.messages == {"front": "new"} and found.stamp_ns == 5 * S


def test_bad_names_are_refused():
    with pytest.raises(ConfigError, match="camera_names"):
        CameraSync(("front", "front"))
    with pytest.raises(ConfigError, match="min_cameras"):
        CameraSync(("front",), CameraSyncConfig(min_cameras=2))
