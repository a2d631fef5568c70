"""`astra map build|inspect|view|export`: make a map of a tour, and look at it."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from astra.cli import map_align, map_extend, map_merge
from astra.core.errors import BadInputError

if TYPE_CHECKING:
    from astra.mapping.build import MappingConfig
    from astra.mapping.clues import MetricClues
    from astra.mapping.tour import Tour
    from astra.topomap import TopoMap

EXAMPLES = """examples:
  astra map build drives/tour0 --out maps/office
  astra map build photos/ --camera camera.yaml --out maps/kitchen --rate-hz 0
  astra map build walk.mp4 --odometry walk.tum --out maps/lab
  astra map extend maps/office drives/tuesday
  astra map merge maps/monday maps/tuesday --out maps/office
  astra map align maps/office --to nav2/office.yaml
  astra map inspect maps/office --json
  astra map view maps/office --out office.html
  astra map export maps/office --out exported/
"""
BUILD_EXAMPLES = """examples:
  astra map build drives/tour0 --out maps/office
  astra map build drives/monday drives/tuesday --out maps/office --workers 8
  astra map build drives/monday drives/tuesday --out maps/office --ray auto
  astra map build photos/ --camera camera.yaml --out maps/kitchen
  astra map build photos/ --distance IMG_0003.jpg IMG_0040.jpg 4.27 --out maps/flat
  astra map build walk.mp4 --camera-height 1.5 --out maps/hall
  astra map build walk.mp4 --camera phone.yaml --odometry walk.tum --rate-hz 3 --out maps/lab
"""
LANDMARK_BACKENDS = ("text", "objects", "text+objects", "qwen2_5_vl", "server", "none")
PHOTO_FEATURES = 1500  # an image


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra map`."""
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    build = actions.add_parser("build", help="tours in, a map folder out", epilog=BUILD_EXAMPLES, formatter_class=raw)
    source_arguments(build)
    build.add_argument("--out", metavar="MAP", type=Path, required=True, help="map folder to write; an older map there is replaced on success")
    build.set_defaults(run=run_build)
    map_extend.configure(actions.add_parser("extend", help="a new tour into an old map"))
    map_merge.configure(actions.add_parser("merge", help="two maps of one building, or two sessions, as one"))
    map_align.configure(actions.add_parser("align", help="into the frame of your own Nav2 map"))
    inspect = actions.add_parser(
        "inspect", help="counts, scale, fragments, warnings", epilog="example:\n  astra map inspect maps/office --json", formatter_class=raw
    )
    inspect.add_argument("map", metavar="MAP", type=Path, help="map folder")
    inspect.add_argument("--json", action="store_true", help="print as JSON")
    inspect.set_defaults(run=run_inspect)
    view = actions.add_parser(
        "view", help="one HTML page to look at", epilog="example:\n  astra map view maps/office --out office.html", formatter_class=raw
    )
    view.add_argument("map", metavar="MAP", type=Path, help="map folder")
    view.add_argument("--out", metavar="FILE", type=Path, required=True, help="HTML file to write")
    view.set_defaults(run=run_view)
    export = actions.add_parser(
        "export",
        help="poses, landmarks, Nav2 map and route graph",
        epilog="example:\n  astra map export maps/office --out exported/",
        formatter_class=raw,
    )
    export.add_argument("map", metavar="MAP", type=Path, help="map folder")
    export.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder to write into")
    export.add_argument("--min-width", metavar="M", type=float, default=0.0, help="leave narrower passages out of the route graph (default: 0)")
    export.set_defaults(run=run_export)


def source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `build` and `extend` need to know about tours."""
    parser.add_argument("sources", metavar="SOURCE", nargs="+", type=Path, help="video file, folder of images, or rosbag2")
    parser.add_argument("--camera", metavar="FILE", type=Path, help="camera.yaml (ROS camera_info) for photos, videos, bags without camera_info")
    parser.add_argument("--topics", metavar="FILE", type=Path, help="topic map YAML for bags (default: topics are found by type; docs/DRIVES.md)")
    parser.add_argument("--odometry", metavar="TUM", type=Path, help="trajectory of base_link: metric scale and priors; for one SOURCE")
    parser.add_argument("--camera-height", type=float, metavar="M", help="of the (first) camera over the floor: metric scale where the floor is seen")
    parser.add_argument(
        "--distance", nargs=3, action="append", default=[], metavar=("IMAGE_A", "IMAGE_B", "M"),
        help="metres measured between the cameras of two images (file names, or node numbers of an earlier build); may be repeated",
    )
    parser.add_argument("--rate-hz", type=float, help="images a second without odometry; 0 keeps every image (default: 2, photos: 0)")
    parser.add_argument("--landmarks", choices=LANDMARK_BACKENDS, default="text", help="what finds landmarks (default: text)")
    parser.add_argument("--backend-config", type=Path, metavar="FILE", help="YAML of the landmarks' backend (docs/PROMPTS.md)")
    parser.add_argument("--config", metavar="FILE", type=Path, help="YAML with overrides of MappingConfig")
    parser.add_argument("--workers", metavar="N", type=int, default=1, help="processes that read tours, describe and compare images, read signs (default: 1)")
    parser.add_argument("--ray", metavar="ADDRESS", help="the same on a Ray cluster: auto (this machine's), local (started here), HOST:PORT or ray://HOST:PORT")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, show no progress")


def run_build(args: argparse.Namespace) -> int:
    """Build the map and print what it is worth."""
    from astra.cli.landmark_backends import make_extractor
    from astra.mapping.build import build_map
    from astra.mapping.parallel import open_workers
    from astra.mapping.progress import Quiet, TqdmProgress
    from astra.perception.place import PlaceEncoder

    tours = open_tours(args)
    config = mapping_config(args, tours)
    progress = Quiet() if args.json or not sys.stderr.isatty() else TqdmProgress()
    extractor = make_extractor(args.landmarks, args.backend_config)
    with open_workers(args.workers, args.ray) as workers:
        build_map(tours, args.out, config, extractor, PlaceEncoder(), progress, metric_clues(args), workers)
    return print_summary(args.out, args.json, with_files=False)


def run_inspect(args: argparse.Namespace) -> int:
    """Print counts, scale, fragments and warnings; a damaged file is an error."""
    return print_summary(args.map, args.json, with_files=True)


def run_view(args: argparse.Namespace) -> int:
    """Write the page."""
    from astra.topomap.view import write_html

    write_html(args.map, args.out)
    print(args.out)
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write every format that the map can give."""
    from astra.topomap.export import export_map

    if not (math.isfinite(args.min_width) and args.min_width >= 0.0):
        raise BadInputError(f"--min-width {args.min_width} is not a width in metres")
    for path in export_map(args.map, args.out, args.min_width):
        print(path)
    return 0


def open_tours(args: argparse.Namespace) -> list[Tour]:
    """The tours that the arguments name."""
    from astra.datasets import open_source
    from astra.geometry import Trajectory
    from astra.mapping.tour import TourWithOdometry

    if args.odometry is not None and len(args.sources) > 1:
        raise BadInputError("--odometry belongs to one SOURCE; build from one, or record odometry in the bags")
    tours: list[Tour] = [open_source(source, args.camera, args.topics) for source in args.sources]
    if args.odometry is None:
        return tours
    return [TourWithOdometry(tours[0], Trajectory.load_tum(args.odometry))]


def mapping_config(args: argparse.Namespace, tours: list[Tour]) -> MappingConfig:
    """The configuration that the arguments ask for."""
    import dataclasses

    from astra.core.config import load_config
    from astra.mapping.build import MappingConfig

    config = load_config(MappingConfig, args.config)
    rate_hz = args.rate_hz
    if all(source.is_dir() for source in args.sources) and all(_is_photos(tour) for tour in tours):
        rate_hz = 0.0 if rate_hz is None else rate_hz  # photos have no clock: each was taken on purpose
        if args.config is None:  # they are fewer, larger and without odometry: what they show must hold them together alone
            config = dataclasses.replace(config, local=dataclasses.replace(config.local, max_features=PHOTO_FEATURES))
    if rate_hz is None:
        return config
    if not math.isfinite(rate_hz) or rate_hz < 0.0:
        raise BadInputError(f"--rate-hz {rate_hz} is not a rate")
    return dataclasses.replace(config, keyframes=dataclasses.replace(config.keyframes, rate_hz=rate_hz))


def metric_clues(args: argparse.Namespace) -> MetricClues:
    """The lengths that the arguments give."""
    from astra.mapping.clues import MeasuredDistance, MetricClues

    height = math.nan if args.camera_height is None else args.camera_height
    if args.camera_height is not None and not (math.isfinite(height) and height > 0.0):
        raise BadInputError(f"--camera-height {args.camera_height} is not a height in metres")
    distances = []
    for image_a, image_b, metres in args.distance:
        try:
            distances.append(MeasuredDistance(image_a, image_b, float(metres)))
        except ValueError as error:
            raise BadInputError(f"--distance {image_a} {image_b} {metres}: the last is not a number of metres") from error
    return MetricClues(height, tuple(distances))


def _is_photos(tour: Tour) -> bool:
    from astra.datasets import ImageTour
    from astra.mapping.tour import TourWithOdometry

    return isinstance(tour.tour if isinstance(tour, TourWithOdometry) else tour, ImageTour)


def print_summary(path: Path, as_json: bool, with_files: bool) -> int:
    from astra.topomap.io import load_map
    from astra.topomap.validate import check_map, summarise

    topo = load_map(path)
    problems = check_map(path) if with_files else ()
    summary = summarise(topo)
    if as_json:
        print(json.dumps({"map": str(path), **summary.to_json(), "problems": list(problems)}, ensure_ascii=False))
    else:
        print(_text(path, topo, summary.lines(), problems))
    return 1 if problems else 0


def _text(path: Path, topo: TopoMap, lines: tuple[str, ...], problems: tuple[str, ...]) -> str:
    out = [f"{topo.info.name} ({path})", *(f"  {line}" for line in lines)]
    out += [f"  warning: {text}" for text in topo.info.warnings]
    out += [f"  DAMAGED: {text}" for text in problems]
    return "\n".join(out)
