"""Recorded drives, photo folders and videos through one interface; writing drives."""

from __future__ import annotations

from pathlib import Path

from astra.core.errors import BadInputError
from astra.datasets.bag import STORAGE_SUFFIXES
from astra.datasets.drive import Drive, open_drive
from astra.datasets.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, ImageTour
from astra.datasets.topics import TopicMap
from astra.datasets.writer import DriveWriter
from astra.geometry import CameraModel

__all__ = ["Drive", "DriveWriter", "ImageTour", "TopicMap", "open_drive", "open_source"]


def open_source(path: Path, camera: Path | None = None, topics: Path | None = None) -> Drive | ImageTour:
    """Open whatever a tour may be: a rosbag2 folder or file, a folder of photos, a video file.

    Args:
        path: the source.
        camera: `camera.yaml` for photos, videos and bags without camera_info.
        topics: topic map for bags; see `TopicMap`.

    Raises:
        BadInputError: the source is none of these, or it cannot be read.
    """
    model = CameraModel.load(camera) if camera else None
    if not path.exists():
        raise BadInputError(f"{path} does not exist")
    if path.suffix in STORAGE_SUFFIXES or (path / "metadata.yaml").is_file():
        return Drive(path, TopicMap.load(topics) if topics else None, camera=model)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return ImageTour(path, model)
    if path.is_dir() and any(p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir()):
        return ImageTour(path, model)
    if path.is_dir() and any(p.suffix in STORAGE_SUFFIXES for p in path.iterdir()):
        return Drive(path, TopicMap.load(topics) if topics else None, camera=model)
    raise BadInputError(f"{path} is neither a bag ({', '.join(STORAGE_SUFFIXES)}), a video ({', '.join(VIDEO_SUFFIXES)}) nor a folder of images")
