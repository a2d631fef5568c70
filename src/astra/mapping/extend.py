"""New tours into an old map: they are built and audited as a map of their own, then merged into the old one's frame.

Whatever the old map knows stays: its frame, its ids, its poses. A tour that no evidence joins becomes a fragment of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from astra.core.errors import BadInputError
from astra.mapping.build import MappingConfig, build_map
from astra.mapping.clues import MetricClues
from astra.mapping.contents import load_contents
from astra.mapping.features import PlaceEncoder
from astra.mapping.landmarks import LandmarkExtractor
from astra.mapping.merge import MergeConfig, Merged, merge_maps
from astra.mapping.parallel import Workers
from astra.mapping.progress import Progress
from astra.mapping.tour import Tour
from astra.mapping.trial import check_comparable


def extend_map(
    path: Path,
    tours: Sequence[Tour],
    config: MappingConfig | None = None,
    merging: MergeConfig | None = None,
    extractor: LandmarkExtractor | None = None,
    place_encoder: PlaceEncoder | None = None,
    progress: Progress | None = None,
    clues: MetricClues | None = None,
    workers: Workers | None = None,
) -> Merged:
    """Build the tours and merge them into the map at `path`, which is replaced when all is done and stays as it was on any error.

    Raises:
        MapError: `path` is no map, or a damaged one.
        MappingError: no map can be built from the tours.
        BadInputError: no tour was given, or the map and the tours cannot be compared.
    """
    if not tours:
        raise BadInputError("a map is extended by at least one tour")
    check_comparable(load_contents(path))
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.extend.", dir=path.parent) as scratch:
        new = Path(scratch) / (Path(tours[0].name).name or "tour")
        build_map(tours, new, config, extractor, place_encoder, progress, clues, workers)
        return merge_maps(path, new, path, merging, progress)
