#!/usr/bin/env bash
set -e
source /opt/ros/jazzy/setup.bash
source /opt/astra_nav/setup.bash
exec "$@"
