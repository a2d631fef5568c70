"""A map over the truth, from above: what a figure in a table does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astra.core.types import FloatArray
from astra.evaluation.mapping.judge import FragmentErrors
from astra.topomap import TopoMap

if TYPE_CHECKING:
    from astra.evaluation.mapping.material import Material

COLOURS = ("tab:red", "tab:blue", "tab:purple", "tab:brown", "tab:pink", "tab:cyan")
OFF_M = 0.5


def draw_map(out: Path, topo: TopoMap, material: Material, fragments: Sequence[FragmentErrors], title: str) -> None:
    """Draw true floor and path (green), and the nodes of each fragment where the alignment puts them, with a line to where they belong."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    truth = material.world.truth
    assert truth is not None
    figure = Figure(figsize=(9.0, 8.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rows, columns = truth.free.shape
    (x0, y0), r = truth.origin_xy, truth.resolution_m
    axes.imshow(truth.free, origin="lower", extent=(x0, x0 + columns * r, y0, y0 + rows * r), cmap="gray", vmin=-1.5, vmax=1.0)
    axes.plot(material.truth.poses[:, 0], material.truth.poses[:, 1], color="tab:green", linewidth=0.8)
    texts = []
    for number, fragment in enumerate(fragments):
        colour = COLOURS[number % len(COLOURS)]
        in_map: FloatArray = np.array([topo.nodes[k].map_from_base.translation for k in fragment.node_ids])
        placed = fragment.world_from_map.apply(in_map)[:, :2]
        poses = [material.truth.at(topo.nodes[k].stamp_ns) for k in fragment.node_ids]
        true = np.array([(pose.x, pose.y) for pose in poses])
        axes.plot(placed[:, 0], placed[:, 1], ".", color=colour, markersize=4)
        for a, b in zip(placed[fragment.errors_m > OFF_M / 5], true[fragment.errors_m > OFF_M / 5]):
            axes.plot([a[0], b[0]], [a[1], b[1]], color=colour, linewidth=0.6)
        texts.append(f"{len(placed)} nodes: ATE {100 * fragment.ate_m:.1f} cm, worst {100 * fragment.worst_m:.0f} cm at {fragment.worst_node}")
    axes.set_title("\n".join([title, *texts[:4]]), fontsize=9)
    axes.set_aspect("equal")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)
