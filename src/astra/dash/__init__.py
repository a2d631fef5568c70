"""`astra dash`: a live page about the robot, for machines without RViz. No ROS in here: a node fills the board, a server shows it."""
