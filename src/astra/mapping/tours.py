"""The keyframes of several tours: each tour is read once, on its own, and numbered as if they had been read one after the other."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from astra.core.errors import AstraError
from astra.mapping.keyframes import Keyframe, KeyframeConfig, KeyView, read_image, select_keyframes
from astra.mapping.parallel import Workers
from astra.mapping.tour import Tour


def read_tours(
    tours: Sequence[Tour],
    folder: Path,
    config: KeyframeConfig,
    tick: Callable[[int], None],
    note: Callable[[str], None],
    workers: Workers | None = None,
) -> list[Keyframe]:
    """The keyframes of all tours, in order, their images in `folder`; an error names the tour.

    Args:
        tick: told how many sets of frames were read.
        note: told what was left out, one sentence each.
        workers: read several tours at once.
    """
    keyframes: list[Keyframe] = []
    if workers is None or len(tours) == 1:
        for index, tour in enumerate(tours):
            views = sum(len(keyframe.views) for keyframe in keyframes)
            with _named(tour):
                keyframes += select_keyframes(tour, index, len(keyframes), views, folder, config, lambda: tick(1), note)
        return keyframes
    for done in workers.in_order(partial(_read, config), enumerate(tours)):
        keyframes += done.into(folder, len(keyframes), sum(len(keyframe.views) for keyframe in keyframes))
        tick(done.frames)
        for text in done.notes:
            note(text)
    return keyframes


@dataclass(frozen=True, slots=True, eq=False)
class _ReadTour:
    """One tour's keyframes, numbered from 0, their images as files, and how many sets of frames were read."""

    keyframes: list[Keyframe]
    images: dict[str, bytes]
    frames: int
    notes: list[str]

    def into(self, folder: Path, first_id: int, first_view_id: int) -> Iterator[Keyframe]:
        """Number the keyframes on, and write their images."""
        for keyframe in self.keyframes:
            number, views = first_id + keyframe.id, []
            for view in keyframe.views:
                unnamed = view.image.startswith(f"{keyframe.id:05d}_")  # another tour's photos start with its index
                image = f"{number:05d}{view.image[5:]}" if first_id and unnamed else view.image
                (folder / image).write_bytes(self.images[view.image])
                views.append(KeyView(first_view_id + view.id, view.camera, image))
            yield dataclasses.replace(keyframe, id=number, views=tuple(views))


def _read(config: KeyframeConfig, numbered: tuple[int, Tour]) -> _ReadTour:
    index, tour = numbered
    notes: list[str] = []
    frames = 0

    def count() -> None:
        nonlocal frames
        frames += 1

    with tempfile.TemporaryDirectory(prefix="astra-tour.") as scratch, _named(tour):
        folder = Path(scratch)
        keyframes = select_keyframes(tour, index, 0, 0, folder, config, count, notes.append)
        images = {view.image: read_image(folder / view.image) for keyframe in keyframes for view in keyframe.views}
    return _ReadTour(keyframes, images, frames, notes)


@contextmanager
def _named(tour: Tour) -> Iterator[None]:
    """Errors say which tour they are about."""
    try:
        yield
    except AstraError as error:
        if tour.name in str(error):
            raise
        raise type(error)(f"tour {tour.name!r}: {error}") from error
