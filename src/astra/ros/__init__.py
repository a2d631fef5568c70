"""Everything that knows ROS: nodes, conversions, parameters, transforms, the stack and its supervisor."""
