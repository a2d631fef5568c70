"""Photo folders and videos as they come from real cameras: odd names, odd frame rates, damaged files."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.datasets import open_source


def save_photo(path: Path, value: int, size: tuple[int, int] = (64, 48)) -> None:
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))


def save_video(path: Path, frames: int, rate_hz: float = 10.0, code: str = "MJPG") -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate_hz, (160, 120))
    for k in range(frames):
        writer.write(np.full((120, 160, 3), 5 * k, np.uint8))
    writer.release()


def set_times(path: Path, times_ms: list[int]) -> None:
    """Give the frames of a Matroska file written at 1000 Hz other timestamps: the two bytes behind each SimpleBlock's track number."""
    data, at = bytearray(path.read_bytes()), 0
    for k, time_ms in enumerate(times_ms):
        while True:
            at = data.index(0xA3, at) + 1
            length = 9 - data[at].bit_length()
            body = at + length
            if data[body] == 0x81 and data[body + 1 : body + 3] == struct.pack(">h", k):
                data[body + 1 : body + 3] = struct.pack(">h", time_ms)
                break
    path.write_bytes(data)


def test_photos_come_in_natural_order(tmp_path):
    for name in ("IMG_10.png", "IMG_9.png", "IMG_101.PNG", "img_1.png", "cover.png", "IMG_²0.png"):
        save_photo(tmp_path / name, 50)
    tour = open_source(tmp_path)
    expected = ["cover.png", "img_1.png", "IMG_9.png", "IMG_10.png", "IMG_101.PNG", "IMG_²0.png"]
    assert [tour.image_name(f) for f in tour.frames()] == expected


def test_a_broken_photo_and_one_of_another_size_are_left_out_by_name(tmp_path):
    for k in range(5):
        save_photo(tmp_path / f"{k}.png", 40 * k)
    (tmp_path / "2.png").write_bytes(b"\x89PNG broken")
    save_photo(tmp_path / "3.png", 9, (48, 64))
    tour = open_source(tmp_path)
    assert [tour.image_name(f) for f in tour.frames()] == ["0.png", "1.png", "4.png"]
    assert [note.split()[1] for note in tour.notes] == ["2.png", "3.png"]
    for k in range(5):
        (tmp_path / f"{k}.png").write_bytes(b"no")
    with pytest.raises(BadInputError, match=r"no image.*0\.png"):
        open_source(tmp_path)


def test_a_variable_frame_rate_keeps_the_containers_times(tmp_path):
    times_ms = [0, 33, 66, 300, 333, 1000, 1040, 1100, 2000]
    save_video(tmp_path / "phone.mkv", len(times_ms), 1000.0)
    set_times(tmp_path / "phone.mkv", times_ms)
    tour = open_source(tmp_path / "phone.mkv")
    assert [round(f.stamp_ns / 1e6) for f in tour.frames()] == times_ms
    assert tour.notes == () and not tour.calibrated


def test_a_video_that_breaks_off_says_where(tmp_path):
    save_video(tmp_path / "walk.avi", 40)
    data = (tmp_path / "walk.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    tour = open_source(tmp_path / "cut.avi")
    frames = list(tour.frames())
    assert 8 <= len(frames) <= 21
    assert len(tour.notes) == 1 and "cut.avi" in tour.notes[0] and f"{len(frames)} of 40" in tour.notes[0]
    save_video(tmp_path / "walk.mp4", 40, code="mp4v")
    data = (tmp_path / "walk.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])  # its index stood at the end
    with pytest.raises(BadInputError, match=r"cut\.mp4.*cut off"):
        open_source(tmp_path / "cut.mp4")
