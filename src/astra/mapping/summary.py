"""What a map says about its own making: counts, versions, and warnings for whoever built it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from astra import __version__
from astra.mapping.assemble import Reconstruction
from astra.mapping.cloud import CloudConfig, floor_warnings
from astra.mapping.metric import inconsistencies
from astra.mapping.scale import ScaleConfig, ScaleEstimate
from astra.mapping.tour import Tour, is_mounted
from astra.topomap import Node, ScaleWitness

MAX_NAMED = 6  # images in one warning


def counts(found: Reconstruction, nodes: Mapping[int, Node]) -> dict[str, float | int | None]:
    """How much was used and how well it fits."""
    first = found.fragments[0]
    return {
        "keyframes": len(found.keyframes),
        "registered": len(nodes),
        "points": sum(len(fragment.points_map) for fragment in found.fragments),
        "reprojection_error_px": round(float(first.sfm.point_errors.mean()), 3) if len(first.sfm.point_errors) else None,
        "floor_rms_m": round(first.planarity_m, 4) if math.isfinite(first.planarity_m) else None,
    }


def scale_witnesses(scale: ScaleEstimate) -> tuple[ScaleWitness, ...]:
    """What every source of metres says against the scale that was chosen."""
    return tuple(ScaleWitness(r.source, r.metres_per_unit / scale.metres_per_unit, r.sigma, r not in scale.refused) for r in scale.readings)


def versions() -> dict[str, str]:
    """The libraries whose version changes a map."""
    import cv2
    import pycolmap

    return {"astra": __version__, "pycolmap": pycolmap.__version__, "opencv": cv2.__version__}


def warnings(
    found: Reconstruction, nodes: Mapping[int, Node], tours: Sequence[Tour], min_registered: float, scale: ScaleConfig, cloud: CloudConfig
) -> list[str]:
    """Everything about the map that its user should know, one sentence each.

    Args:
        min_registered: share of the keyframes below which the warning says "only".
    """
    texts = []
    mounted = is_mounted(tours[0].rig)
    if any(len(tour.rig.cameras) > len(rig.cameras) for tour, rig in zip(tours, found.rigs)):
        texts.append("it is not known where the cameras sit (no /tf_static): only the first camera was used")
    lost = [view.image for keyframe in found.keyframes if keyframe.id not in nodes for view in keyframe.views[:1]]
    if lost:
        only = "only " if len(nodes) < min_registered * len(found.keyframes) else ""
        names = ", ".join(lost[:MAX_NAMED]) + (f" and {len(lost) - MAX_NAMED} more" if len(lost) > MAX_NAMED else "")
        texts.append(f"{only}{len(nodes)} of {len(found.keyframes)} keyframes could be placed, not {names}")
    if len(found.fragments) > 1:
        sizes = ", ".join(str(len(fragment.map_from_base)) for fragment in found.fragments)
        texts.append(f"the map has {len(found.fragments)} fragments of {sizes} nodes that no evidence joins")
    for number, fragment in enumerate(found.fragments):
        doubts = inconsistencies(fragment, found.keyframes, found.rigs, mounted, scale)
        texts += [text if number == 0 else f"fragment {number}: {text}" for text in doubts]
    if mounted:
        texts += floor_warnings(found.fragments[0].points_map, cloud)
    return texts
