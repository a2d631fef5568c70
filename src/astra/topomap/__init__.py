"""The hybrid topological-semantic graph G = (V, E, L) of paper section 3.1.1: types, queries, routes, file format, validation."""

from astra.topomap.types import Edge, EdgeKind, Landmark, MapInfo, Node, ScaleWitness, TopoMap, View

__all__ = ["Edge", "EdgeKind", "Landmark", "MapInfo", "Node", "ScaleWitness", "TopoMap", "View"]
