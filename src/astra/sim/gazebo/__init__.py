"""A world and the robot as Gazebo reads them: SDF 1.9, OBJ meshes, PNG textures and the bridge to ROS."""

from astra.sim.gazebo.export import Exported, export_sdf

__all__ = ["Exported", "export_sdf"]
