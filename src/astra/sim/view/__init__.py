"""A page or a picture to look at a world: from above with labels, and what the robot's cameras see along the tour."""

from astra.sim.view.page import write_view

__all__ = ["write_view"]
