"""Worlds, physics, rendering and sensors that stand in for the robot; no ROS. Truth stays on this side of the seam."""
