"""Localize one photo on a map, without ROS: `python examples/where_am_i.py MAP photo.jpg camera.yaml`."""

import sys
from pathlib import Path

from astra.datasets.images import load_image
from astra.geometry import CameraModel
from astra.global_model.localizer import GlobalLocalizer
from astra.global_model.types import Query


def main(map_dir: Path, photo: Path, camera: Path) -> int:
    """Print status, pose and the reason."""
    localizer = GlobalLocalizer(map_dir)
    result = localizer.localize(Query.from_image(load_image(photo), CameraModel.load(camera)))
    print(f"{result.status} (confidence {result.confidence:.2f}): {result.reason}")
    if result.map_from_base is not None:
        x, y, z = result.map_from_base.translation
        print(f"the camera is at x {x:.2f} m, y {y:.2f} m, {z:.2f} m above the floor, heading {result.map_from_base.pose2().yaw:.2f} rad")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    raise SystemExit(main(*(Path(argument) for argument in sys.argv[1:])))
