"""The flow-matching planner with the masked ESDF loss (paper 3.2.2)."""

from astra.local_model.planning.esdf import EsdfConfig, masked_esdf_loss, signed_distance
from astra.local_model.planning.network import FlowPlanner, PlannerConfig, Scene2d
from astra.local_model.planning.trajectory import TrajectoryConfig, poses_from_steps, steps_from_poses

__all__ = [
    "EsdfConfig", "FlowPlanner", "PlannerConfig", "Scene2d", "TrajectoryConfig", "masked_esdf_loss", "poses_from_steps", "signed_distance",
    "steps_from_poses",
]  # fmt: skip
