"""What a map is worth: counts, connectedness, scale; and whether its files are the ones that were written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.errors import MapError
from astra.topomap.audit import MapAudit
from astra.topomap.io import damaged_files, load_features
from astra.topomap.types import Edge, EdgeKind, Node, ScaleWitness, TopoMap


@dataclass(frozen=True, slots=True)
class MapSummary:
    """The figures of `astra map inspect`. `fragments`: nodes in each, largest first; `islands`: parts of fragment 0 that no edge joins."""

    nodes: int
    views: int
    cameras: tuple[str, ...]
    edges_driven: int
    edges_visible: int
    landmarks: int
    fragments: tuple[int, ...]
    islands: int
    driven_m: float
    extent_m: tuple[float, float]
    scale_source: str
    scale_sigma: float
    median_sigma_m: float
    warnings: tuple[str, ...]
    audit: MapAudit | None = None
    scale_witnesses: tuple[ScaleWitness, ...] = ()
    up_source: str = "unknown"
    up_sigma_rad: float = math.nan
    coverage: float = math.nan  # share of the tour's keyframes that have a place in the map

    def to_json(self) -> dict[str, object]:
        """For `--json`; unknown numbers are null."""
        return {
            "nodes": self.nodes,
            "views": self.views,
            "cameras": list(self.cameras),
            "edges": {"driven": self.edges_driven, "visible": self.edges_visible},
            "landmarks": self.landmarks,
            "fragments": list(self.fragments),
            "islands": self.islands,
            "driven_m": round(self.driven_m, 2),
            "extent_m": [round(v, 2) for v in self.extent_m],
            "scale_source": self.scale_source,
            "scale_sigma": _or_none(self.scale_sigma),
            "scale_witnesses": [
                {"source": w.source, "ratio": _or_none(w.ratio), "sigma": _or_none(w.sigma), "used": w.used} for w in self.scale_witnesses
            ],
            "up": {"source": self.up_source, "sigma_rad": _or_none(self.up_sigma_rad)},
            "median_sigma_m": _or_none(self.median_sigma_m),
            "warnings": list(self.warnings),
            "coverage": _or_none(self.coverage),
            "audit": None if self.audit is None else self.audit.to_json(),
        }

    def lines(self) -> tuple[str, ...]:
        """For people."""
        sigma = f" ± {100 * self.scale_sigma:.2f} %" if math.isfinite(self.scale_sigma) else ""
        unit = "m" if self.scale_source != "unknown" else "units"
        place = f"{100 * self.median_sigma_m:.1f} cm" if math.isfinite(self.median_sigma_m) else "unknown"
        return (
            f"{self.nodes} nodes, {self.views} views of {', '.join(self.cameras)}; {self.landmarks} landmarks",
            f"{self.edges_driven} driven and {self.edges_visible} visible edges over {self.driven_m:.1f} {unit}",
            f"extent {self.extent_m[0]:.1f} × {self.extent_m[1]:.1f} {unit}; scale from {self.scale_source}{sigma}; median position sigma {place}",
            f"fragments: {', '.join(str(n) for n in self.fragments)} nodes; {self.islands} connected parts in fragment 0",
            *self._scale_lines(),
            *self._audit_lines(),
        )

    def _scale_lines(self) -> tuple[str, ...]:
        """Every source of metres against the map's own, and where up comes from."""
        lines = [
            f"  scale by {w.source.replace('_', ' ')}: {100 * (w.ratio - 1):+.2f} % ± {100 * w.sigma:.2f} %{'' if w.used else ', not used'}"
            for w in self.scale_witnesses
        ]
        tilt = f" ± {math.degrees(self.up_sigma_rad):.2f}°" if math.isfinite(self.up_sigma_rad) else ""
        return (*lines, *([f"up from {self.up_source}{tilt}"] if self.up_source != "unknown" else []))

    def _audit_lines(self) -> tuple[str, ...]:
        if self.audit is None:
            return ("audit: none, the map was built without",)
        covered = f"; {100 * self.coverage:.0f} % of the keyframes have a place" if math.isfinite(self.coverage) else ""
        lines = [f"audit: {self.audit.verdict}{covered}", *(f"  {text}" for text in self.audit.reasons)]
        for number, part in enumerate(self.audit.fragments):
            lines.append(f"  fragment {number}: {part.nodes} nodes, {part.verdict}; {part.loops} revisits agree; checked by {', '.join(part.checks)}")
        lines += [f"  suspicious loop {loop.a} – {loop.b}: {loop.reason}" for loop in self.audit.suspicious_loops]
        return tuple(lines)


def summarise(topo: TopoMap) -> MapSummary:
    """Count what the map holds."""
    nodes = list(topo.nodes.values())
    positions = np.array([n.map_from_base.translation[:2] for n in nodes if n.fragment == 0]).reshape(-1, 2)
    extent = np.ptp(positions, axis=0) if len(positions) else np.zeros(2)
    sizes = [sum(n.fragment == k for n in nodes) for k in sorted({n.fragment for n in nodes})]
    sigmas = [n.position_sigma_m for n in nodes if math.isfinite(n.position_sigma_m)]
    driven = [e for e in topo.edges if e.kind is EdgeKind.DRIVEN]
    return MapSummary(
        len(nodes),
        sum(len(n.views) for n in nodes),
        tuple(topo.cameras),
        len(driven),
        len(topo.edges) - len(driven),
        len(topo.landmarks),
        tuple(sizes),
        len(connected_parts({n.id: n for n in nodes if n.fragment == 0}, topo.edges)),
        float(sum(e.length_m for e in driven)),
        (float(extent[0]), float(extent[1])),
        topo.info.scale_source,
        topo.info.scale_sigma,
        float(np.median(sigmas)) if sigmas else math.nan,
        topo.info.warnings,
        topo.info.audit,
        topo.info.scale_witnesses,
        topo.info.up_source,
        topo.info.up_sigma_rad,
        coverage=_coverage(topo),
    )


def _coverage(topo: TopoMap) -> float:
    chosen, placed = topo.info.build.get("keyframes"), topo.info.build.get("registered")
    return placed / chosen if isinstance(chosen, int) and isinstance(placed, int) and chosen > 0 else math.nan


def connected_parts(nodes: Mapping[int, Node], edges: tuple[Edge, ...]) -> list[frozenset[int]]:
    """Sets of nodes that edges join, largest first."""
    parent = {k: k for k in nodes}

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for edge in edges:
        if edge.a in parent and edge.b in parent:
            parent[root(edge.a)] = root(edge.b)
    parts: dict[int, set[int]] = {}
    for k in nodes:
        parts.setdefault(root(k), set()).add(k)
    return sorted((frozenset(part) for part in parts.values()), key=lambda part: (-len(part), min(part)))


def check_map(path: Path) -> tuple[str, ...]:
    """Everything that is wrong with the folder's files, hashes compared; empty for a sound map.

    Raises:
        MapError: it is no map folder at all, or one of a newer format.
    """
    problems = damaged_files(path)
    if not problems:
        try:
            load_features(path, verify=False)
        except MapError as error:
            problems = [str(error)]
    return tuple(problems)


def _or_none(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None
