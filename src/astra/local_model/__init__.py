"""Astra-Local (paper 3.2): what surround cameras see becomes voxel features that planning, odometry and forecast share."""
