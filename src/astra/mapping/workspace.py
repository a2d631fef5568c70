"""Where a build keeps its artefacts between runs: a folder of the cache named by the images themselves, files named by their recipe."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from astra import __version__
from astra.core.errors import MappingError
from astra.core.paths import recipe_hash
from astra.geometry import CameraRig
from astra.mapping.keyframes import Keyframe

T = TypeVar("T")
MIN_FREE_BYTES = 128 * 2**20  # COLMAP ends the whole process when its database cannot grow
STAGES_VERSION = 3  # raised when a stage's result changes although its configuration does not


class Workspace:
    """Artefacts of one set of keyframes; a finished one is read back instead of made again.

    Args:
        root: folder for all workspaces.
        images: the folder with the keyframes' images; it is moved in if they are new, and deleted if they are known.
    """

    def __init__(self, root: Path, images: Path, keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig]) -> None:
        self.root = root / _digest(images, keyframes, rigs)
        self.images = self.root / "images"
        if not self.images.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # another build of the same tour may have been quicker
                images.rename(self.images)
        if images.is_dir():
            shutil.rmtree(images)
        os.utime(self.root)

    @staticmethod
    def scratch(root: Path) -> Path:
        """A new folder for keyframes that have no digest yet."""
        root.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".new.", dir=root))

    def path(self, name: str, suffix: str, *recipe: Any) -> Path:
        """Where the artefact `name` made by this recipe (dataclasses and plain values) lives."""
        parts = [dataclasses.asdict(part) if dataclasses.is_dataclass(part) and not isinstance(part, type) else part for part in recipe]
        return self.root / f"{name}-{recipe_hash({'version': [__version__, STAGES_VERSION], 'parts': parts})}{suffix}"

    def file(self, path: Path, make: Callable[[], T], save: Callable[[Path, T], None], load: Callable[[Path], T]) -> T:
        """Load the file at `path`, or make and save it under that name when it is complete."""
        if path.is_file():
            with suppress(Exception):  # a damaged artefact is made again
                return load(path)
        value = make()
        scratch = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
        try:
            save(scratch, value)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
        return value

    def folder(self, path: Path, make: Callable[[Path], None]) -> Path:
        """The folder at `path`, made in a scratch folder and renamed when complete."""
        if not path.is_dir():
            scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=self.root))
            try:
                make(scratch)
                scratch.rename(path)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return path


@contextmanager
def full_disk_named(out: Path, *folders: Path) -> Iterator[None]:
    """Turn a full disk into an error that says which one, before the work begins or in the midst of it.

    Raises:
        MappingError: one of `folders` has no space left, or writing failed for want of it.
    """
    for folder in folders:
        there = next(p for p in (folder, *folder.absolute().parents) if p.is_dir())
        free = shutil.disk_usage(there).free
        if free < MIN_FREE_BYTES:
            raise MappingError(f"the disk of {folder} is full: {free // 2**20} MiB are free, {MIN_FREE_BYTES // 2**20} are needed; {out} stays as it was")
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise MappingError(f"the disk is full ({error.filename or ', '.join(map(str, folders))}); {out} stays as it was") from error


def _digest(images: Path, keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig]) -> str:
    """A hash of everything that the stages read: pixels, stamps, odometry and the rigs."""
    digest = hashlib.sha256()
    for keyframe in keyframes:
        pose = keyframe.odom_from_base
        where = None if pose is None else (round(pose.x, 6), round(pose.y, 6), round(pose.yaw, 6))
        digest.update(json.dumps([keyframe.id, keyframe.tour, keyframe.stamp_ns, where]).encode())
        for view in keyframe.views:
            digest.update(f"{view.id} {view.camera} {view.image}".encode())
            digest.update((images / view.image).read_bytes())
    for rig in rigs:
        for camera in rig.cameras:
            digest.update(f"{camera.name} {camera.model}".encode())
            digest.update(camera.base_from_cam.matrix().round(9).tobytes())
    return digest.hexdigest()[:16]
