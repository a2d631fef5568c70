"""Furniture: a plain set of boxes and drums, and real meshes where Debian's `sweethome3d-furniture` is installed.

Every piece stands in a frame of its own: front along +x, footprint centred on the origin, the floor at z = 0.
"""

from astra.sim.furniture.carpenter import Carpenter
from astra.sim.furniture.library import Library, open_catalogue

__all__ = ["Carpenter", "Library", "open_catalogue"]
