"""Voxel features → signed distance and colour → rendered depth and colour: self-supervision (paper 3.2.1)."""

from astra.local_model.rendering.fields import Fields, occupancy_from_sdf
from astra.local_model.rendering.volume import RayBatch, Rendered, render_rays

__all__ = ["Fields", "RayBatch", "Rendered", "occupancy_from_sdf", "render_rays"]
