"""What astra_local shows to those who watch, and to Nav2's costmaps: occupancy, obstacles, the planner's samples. Nothing is made for nobody."""

from __future__ import annotations

from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from astra.core.types import AnyArray, seconds
from astra.geometry import Pose2
from astra.navigation.grid import LocalGrid
from astra.navigation.learned import Samples
from astra.ros import qos
from astra.ros.conversions import cloud_message, grid_message, line_points, stamp_from_ns

OBSTACLE_HEIGHT_M = 0.3  # of the points told: a plane lidar does not know, and Nav2's ObstacleLayer takes no floor
LIFETIME_NS = 500_000_000


class LocalViews:
    """Publishers of `node` (an `AstraLifecycleNode`); `rate_hz` bounds how often the grid is shown."""

    def __init__(self, node: Any, rate_hz: float) -> None:
        self._node, self._period_s, self._shown_ns = node, 0.95 / rate_hz, 0
        self._occupancy = node.create_publisher(OccupancyGrid, "astra/occupancy", qos.RELIABLE)
        self._obstacles = node.create_publisher(PointCloud2, "astra/obstacles", qos.SENSOR)
        self._samples = node.create_publisher(MarkerArray, "astra/samples", qos.RELIABLE)
        self._told_ns = 0

    def show(self, grid: LocalGrid, samples: Samples | None, frame: str) -> None:
        """Publish what is due; both are in the odometry's `frame`."""
        if samples is not None and samples.stamp_ns != self._told_ns and self._samples.get_subscription_count():
            self._told_ns = samples.stamp_ns
            self._samples.publish(sample_markers(samples, frame))
        now = self._node.steady_ns()
        if seconds(now - self._shown_ns) < self._period_s:
            return
        self._shown_ns = now
        if self._occupancy.get_subscription_count():
            cells = np.where(grid.occupied, 100, np.where(grid.known, 0, -1)).astype(np.int8)
            self._occupancy.publish(grid_message(cells, grid.resolution_m, Pose2(grid.origin_x, grid.origin_y), grid.stamp_ns, frame))
        if self._obstacles.get_subscription_count():
            self._obstacles.publish(obstacle_cloud(grid.points, grid.stamp_ns, frame))


def obstacle_cloud(points: AnyArray, stamp_ns: int, frame: str) -> PointCloud2:
    """Obstacle points (M, 2) [m] as a cloud at the height of a bumper."""
    return cloud_message(np.column_stack([points, np.full(len(points), OBSTACLE_HEIGHT_M)]), stamp_ns, frame)


def sample_markers(samples: Samples, frame: str) -> MarkerArray:
    """A line strip a trajectory, green for the best, red for the worst, grey where something is in the way."""
    costs = np.where(samples.free, samples.costs, np.nan)
    best, worst = (float(np.nanmin(costs)), float(np.nanmax(costs))) if np.isfinite(costs).any() else (0.0, 1.0)
    markers = []
    for k, (line, cost) in enumerate(zip(samples.odom_poses, costs.tolist())):
        marker = Marker(ns="samples", id=k, type=Marker.LINE_STRIP, action=Marker.ADD)
        marker.header.stamp, marker.header.frame_id = stamp_from_ns(samples.stamp_ns), frame
        marker.pose.orientation.w, marker.scale.x, marker.lifetime.nanosec = 1.0, 0.015, LIFETIME_NS
        share = (cost - best) / max(worst - best, 1e-9)
        marker.color = ColorRGBA(r=0.5, g=0.5, b=0.5, a=0.4) if np.isnan(cost) else ColorRGBA(r=share, g=1.0 - share, b=0.1, a=0.9)
        marker.points = line_points(line[:, :2])
        markers.append(marker)
    return MarkerArray(markers=markers)
