#!/usr/bin/env bash
# Healthy: a node of the suite runs in this container, and the graph speaks of its health.
set -e
pgrep -f lib/astra_nav/ >/dev/null
source /opt/ros/jazzy/setup.bash
timeout 8 ros2 topic echo --once --no-daemon /diagnostics diagnostic_msgs/msg/DiagnosticArray >/dev/null
