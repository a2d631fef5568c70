"""From a goal to wheel commands: mission, route, local planning, control, velocity gate; no ROS."""
