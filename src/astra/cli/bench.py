"""`astra bench PART`: measure what things cost on this machine."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

EXAMPLES = """examples:
  astra bench sim --out bench/sim            worlds, rendering, closed loop, SfM (about half an hour)
  astra bench sim --out bench/sim --quick    a tenth of it
  astra bench map --out bench/map            a map of 100, 300 and 1,000 frames (a quarter of an hour; up to 100 with --quick)
  astra bench local --out bench/local        a tick of the eyes: wall and CPU time, memory, with one thread or --threads
  astra bench localize --map maps/demo_office --out bench/localize            queries on maps of 1,000 to 100,000 nodes (9 GB of disk; ten minutes)
  astra bench planner --out bench/planner --model models/planner              a tick of the learned planner with its shield
  astra bench precision --samples samples/validate --out bench/precision      the eyes in int8, fp16 and bf16 beside fp32
  astra bench sim --out bench/sim --ros      and the simulator as a ROS node in real time

Writes results.json (a flat list of name, value, unit, n, ci95) and report.md. What an earlier run measured of the generated worlds is kept.
"""
PARTS = ("sim", "map", "localize", "local", "planner", "precision")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("part", nargs="?", choices=PARTS, default="sim", help="what to measure (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--worlds", type=int, help="how many worlds to generate (default: 200; 9 with --quick)")
    parser.add_argument("--quick", action="store_true", help="few worlds, few poses, no SfM")
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime, for local (default: %(default)s)")
    parser.add_argument("--model", type=Path, default=Path("models/planner"), help="the exported planner, for planner (default: %(default)s)")
    parser.add_argument("--map", type=Path, default=Path("maps/demo_office"), help="localize: the map that large ones are made of (default: %(default)s)")
    parser.add_argument("--nodes", type=int, nargs="*", metavar="N", help="localize: sizes of maps (default: 1000 10000 100000)")
    parser.add_argument("--samples", type=Path, help="sample set of validation worlds, for precision")
    parser.add_argument("--ros", action="store_true", help="also run the simulator's ROS node for 20 s")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print the report."""
    if args.part == "local":
        from astra.evaluation import bench_local

        ticks = bench_local.BenchLocalConfig(ticks=50 if args.quick else 200, threads=args.threads)
        bench_local.run(ticks, args.out, lambda text: print(f"  · {text}", file=sys.stderr, flush=True))
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    if args.part == "localize":
        from astra.evaluation import bench_localize

        asked = bench_localize.BenchLocalizeConfig(args.map)
        asked = bench_localize.quick(asked) if args.quick else asked
        asked = replace(asked, nodes=tuple(args.nodes)) if args.nodes else asked
        bench_localize.run(asked, args.out, lambda text: print(f"  · {text}", file=sys.stderr, flush=True))
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    if args.part == "planner":
        from astra.evaluation import bench_planner

        planner = bench_planner.BenchPlannerConfig(args.model, ticks=20 if args.quick else 100)
        bench_planner.run(planner, args.out, lambda text: print(f"  · {text}", file=sys.stderr, flush=True))
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    if args.part == "precision":
        from astra.core.errors import BadInputError
        from astra.evaluation import bench_precision

        if args.samples is None:
            raise BadInputError("bench precision needs --samples")
        bench_precision.run(bench_precision.PrecisionConfig(args.samples), args.out, lambda text: print(f"  · {text}", file=sys.stderr, flush=True))
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    if args.part == "map":
        from astra.evaluation import bench_map

        sizes = bench_map.BenchMapConfig(frames=(30, 100)) if args.quick else bench_map.BenchMapConfig()
        bench_map.run(sizes, args.out, lambda text: print(f"  · {text}", file=sys.stderr, flush=True))
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    from astra.evaluation.bench_report import write_report
    from astra.evaluation.bench_sim import BenchSimConfig
    from astra.evaluation.bench_sim import run as bench

    config = BenchSimConfig(worlds=9, rendered=1, poses=15, driven_s=5.0, sfm=False) if args.quick else BenchSimConfig()
    if args.worlds is not None:
        config = replace(config, worlds=args.worlds)
    results = bench(config, args.out, lambda text: print(f"  · {text}", file=sys.stderr, flush=True))
    if args.ros:
        from astra.ros.bench_sim import through_ros

        results += through_ros()
        write_report(results, args.out, "Worlds", "CPU milliseconds of one process; `astra bench sim --ros`.")
    print((args.out / "report.md").read_text(encoding="utf-8"))
    return 0
