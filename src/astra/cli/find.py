"""`astra find MAP "instruction"`: what does a sentence or an image mean on the map?"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astra.cli.localize import BACKENDS, backend_from_args
from astra.core.errors import BadInputError

if TYPE_CHECKING:
    from astra.global_model.types import FindResult

EXAMPLES = """examples:
  astra find maps/office "take me to the resting area" --out goal.json
  astra find maps/office "a printer" --near 2.5 -1.0 --radius 8
  astra find maps/office --image desk.jpg --camera phone.yaml --out goal.json

status is found, ambiguous (several places fit; all are listed) or not_found; candidates come best first, each with the pose to stand at
(map_from_goal: base_link, x forward) and why. The exit code is 0 whatever the answer.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra find`."""
    parser.epilog = EXAMPLES
    parser.add_argument("map", type=Path, help="map folder")
    parser.add_argument("instruction", nargs="?", help="what to find, in words")
    parser.add_argument("--image", type=Path, help="image of the goal, instead of words")
    parser.add_argument("--camera", type=Path, help="camera.yaml of the image (default: the map's own camera, if it has one of its size)")
    parser.add_argument("--near", type=float, nargs=2, metavar=("X", "Y"), help="search outwards from here [m, map frame]")
    parser.add_argument("--radius", type=float, help="of the first search around --near [m]; it widens as needed")
    parser.add_argument("--backend", choices=BACKENDS, default="embedded", help="who understands the instruction (default: embedded)")
    parser.add_argument("--backend-config", type=Path, metavar="FILE", help="YAML with the backends' settings (docs/PROMPTS.md)")
    parser.add_argument("--out", type=Path, help="JSON file to write (default: standard output)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Resolve the goal and write its record."""
    from astra.core.paths import atomic_write
    from astra.geometry import Pose2
    from astra.global_model.goal import GoalFinder

    if (args.instruction is None) == (args.image is None):
        raise BadInputError("give either an instruction or --image")
    if args.near is not None and not all(map(math.isfinite, args.near)):
        raise BadInputError(f"--near {args.near[0]} {args.near[1]} is not a point")
    if args.radius is not None and not (math.isfinite(args.radius) and args.radius > 0.0):
        raise BadInputError(f"--radius {args.radius} must be a length > 0")
    if args.radius is not None and args.near is None:
        raise BadInputError("--radius needs --near")
    near = None if args.near is None else Pose2(args.near[0], args.near[1], 0.0)
    finder = GoalFinder(args.map, backend=backend_from_args(args))
    result = finder.find_text(args.instruction, near, args.radius) if args.image is None else _find_image(finder, args, near)
    text = json.dumps(record(result), indent=2, ensure_ascii=False)
    if args.out is None:
        print(text)
        return 0
    atomic_write(args.out, text + "\n")
    best = f": {result.candidates[0].label}" if result.candidates else ""
    print(f"{result.status.value}{best} ({result.reason}) → {args.out}")
    return 0


def _find_image(finder: Any, args: argparse.Namespace, near: Any) -> FindResult:
    from astra.cli.localize import camera_of_map, read_image
    from astra.geometry import CameraModel
    from astra.global_model.types import Query

    rgb = read_image(args.image)
    camera = CameraModel.load(args.camera) if args.camera else camera_of_map(finder.loaded.map, rgb, args.image)
    result: FindResult = finder.find_image(Query.from_image(rgb, camera, str(args.image)), near, args.radius)
    return result


def record(result: FindResult) -> dict[str, Any]:
    """The record of a goal."""
    from astra.geometry import Pose3

    candidates = []
    for candidate in result.candidates:
        goal = Pose3.from_pose2(candidate.map_from_goal)
        candidates.append(
            {
                "landmark_id": candidate.landmark_id,
                "label": candidate.label,
                "score": round(float(candidate.score), 4),
                "node_ids": [int(i) for i in candidate.node_ids],
                "map_from_goal": {"translation_m": goal.translation.tolist(), "rotation_xyzw": goal.quaternion_xyzw().tolist()},
                "image": candidate.image,
                "why": candidate.why,
            }
        )
    return {"status": result.status.value, "candidates": candidates, "reason": result.reason}
