"""Learned odometry (paper 3.2.3): the motion between two frames, and how far it may be wrong. `head` needs torch; the rest does not."""
