"""The mission as a video: what the cameras saw beside the robot's path on the floor plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from astra.core.types import CameraFrame, UInt8Array, seconds
from astra.evaluation.mission import MissionLog
from astra.evaluation.mission_report import FloorImage
from astra.geometry import Pose2

CODEC = "vp09"  # plays in browsers, and every OpenCV wheel can write it
TILE_COLUMNS = 2


def write_video(
    path: Path,
    frames: Iterable[CameraFrame],
    cameras: Sequence[str],
    log: MissionLog,
    floor: FloorImage,
    world_from_map: Pose2,
    *,
    speedup: float = 4.0,
    fps: float = 10.0,
) -> bool:
    """Write the video; returns False, leaving no file, if this OpenCV cannot encode it.

    Args:
        path: the .mp4 file.
        frames: all cameras' frames in time order.
        cameras: names in the order of the mosaic.
        log: the mission, for the path.
        floor: the background of the plan.
        world_from_map: places the stack's poses on it.
        speedup: mission seconds per second of video.
        fps: frames per second of the video.
    """
    writer: cv2.VideoWriter | None = None
    truth = log.truth.trajectory()
    try:
        for stamp_ns, images in _every(frames, cameras, speedup / fps):
            mosaic = _mosaic([images[name] for name in cameras])
            plan = _plan(floor, log, world_from_map, stamp_ns, mosaic.shape[0], truth.at(stamp_ns))
            picture = np.hstack([mosaic, plan])
            text = f"{seconds(stamp_ns - log.started_ns):5.1f} s  {log.instruction}"
            for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
                cv2.putText(picture, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness, cv2.LINE_AA)
            if writer is None:
                writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODEC), fps, (picture.shape[1], picture.shape[0]))
                if not writer.isOpened():
                    return False
            writer.write(picture[..., ::-1])
    finally:
        if writer is not None:
            writer.release()
    return writer is not None


def _every(frames: Iterable[CameraFrame], cameras: Sequence[str], period_s: float) -> Iterator[tuple[int, dict[str, UInt8Array]]]:
    """The newest image of each camera, once per period, as soon as all have been seen."""
    newest: dict[str, UInt8Array] = {}
    due_ns: int | None = None
    for frame in frames:
        if frame.camera in cameras:
            newest[frame.camera] = frame.rgb
        if len(newest) == len(cameras) and (due_ns is None or frame.stamp_ns >= due_ns):
            yield frame.stamp_ns, newest
            due_ns = frame.stamp_ns + round(period_s * 1e9)


def _mosaic(images: Sequence[UInt8Array]) -> UInt8Array:
    height, width = images[0].shape[:2]
    rows = -(-len(images) // TILE_COLUMNS)
    out = np.zeros((rows * height, TILE_COLUMNS * width, 3), np.uint8)
    for k, image in enumerate(images):
        y, x = divmod(k, TILE_COLUMNS)
        out[y * height : (y + 1) * height, x * width : (x + 1) * width] = cv2.resize(image, (width, height))
    return out


def _plan(floor: FloorImage, log: MissionLog, world_from_map: Pose2, stamp_ns: int, height: int, pose: Pose2) -> UInt8Array:
    scale = height / floor.image.shape[0]
    width = round(floor.image.shape[1] * scale) // 2 * 2
    grey = cv2.resize(floor.image[::-1], (width, height), interpolation=cv2.INTER_AREA)
    plan = np.ascontiguousarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))

    def pixel(x: float, y: float) -> tuple[int, int]:
        cells = (np.array([x, y]) - floor.origin_xy) / floor.resolution_m * scale
        return int(cells[0]), int(height - cells[1])

    so_far = log.truth.poses[log.truth.stamps_ns <= stamp_ns][::10, :2]
    if len(so_far) > 1:
        cv2.polylines(plan, [np.array([pixel(x, y) for x, y in so_far], np.int32)], False, (47, 111, 222), 2, cv2.LINE_AA)
    for event in log.localizations:
        if event.map_from_base is not None and event.status == "localized" and event.stamp_ns <= stamp_ns:
            said = world_from_map @ event.map_from_base
            cv2.circle(plan, pixel(said.x, said.y), 3, (224, 122, 31), -1, cv2.LINE_AA)
    tip = pose @ Pose2(0.4, 0.0, 0.0)
    cv2.circle(plan, pixel(pose.x, pose.y), 6, (47, 111, 222), -1, cv2.LINE_AA)
    cv2.line(plan, pixel(pose.x, pose.y), pixel(tip.x, tip.y), (20, 60, 140), 2, cv2.LINE_AA)
    return np.asarray(plan)
