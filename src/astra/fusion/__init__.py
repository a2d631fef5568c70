"""Odometry from wheels and IMU, and map→odom from fixes."""
