"""`astra eval TABLE`: measure how good something is, against the simulator's truth."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

EXAMPLES = """examples:
  astra eval mapping --out eval/mapping                           every tour: some hours on two cores; goes on where it was cut off
  astra eval mapping --out eval/mapping --quick                   three tours
  astra eval occupancy --out eval/eyes --eyes models/eyes          rides through unseen worlds, minutes
  astra eval goals --out eval/goals                               six hundred sentences, minutes
  astra eval odometry --out eval/odometry                         sixty runs without cameras: half an hour
  astra eval relocalization --out eval/waking --maps eval/mapping/maps   unknown starts: an hour
  astra eval localization --out eval/where --maps eval/mapping/maps --queries 500 --frames 5 --foreign   single images: hours
  astra eval localization --out eval/where --maps eval/mapping/maps/home20000 --quick   one map
  astra eval localization --out eval/real --real ../shared/data    real photos: maps of every second one, minutes
  astra eval faults --map maps/demo_office --out eval/faults       everything that may break, on a robot under way: a quarter of an hour
  astra eval planning --out eval/planning --model ours=models/planner   open loop, with peers: a quarter of an hour
  astra eval planning --out eval/planning --model ours=models/planner --closed-loop 24   the same planners drive, kinematically
  astra eval soak --minutes 60 --out eval/soak                     missions in a loop: does anything grow?
  astra eval realtime --minutes 2 --nodes 1000 --out eval/realtime    rates, ages and processor time of the stack under way, and how long a start takes
  astra eval mapping --out eval/tuning --split validate --only 'office|false_loop'

Writes episodes.jsonl (one line a tour; localization: queries.jsonl, a line a query), results.json (a flat list of name, value, unit, n, ci95),
report.md and pictures/.
Worlds and drives are made once and kept in $ASTRA_CACHE.
"""
EYES = "what the shipped eyes see, and foresee, in unseen worlds"
WAKING = "waking up anywhere: one frame, five, and looking around on purpose"
WHERE = "single images at random places of unseen worlds, beside retrieval and retrieval + PnP"
ODOMETRY = "wheels and IMU over robots with errors of their own"
FAULTS = "sensors, nodes, disk, clock and wishes that go wrong on a robot under way"
SOAK = "missions in a loop through ROS: growth of memory, threads, handles and shared memory"
PACE = "missions through ROS: periods, ages, processor time, and how long a start takes"
GOALS = "sentences over the landmarks of unseen worlds"
PLANNING = "planners side by side, for the same moments of unseen worlds, three seconds ahead"
TABLES = {"mapping": "maps of generated tours, ordinary and adversarial", "goals": GOALS, "occupancy": EYES, "forecast": "the same table", "odometry": ODOMETRY,
          "relocalization": WAKING, "localization": WHERE, "faults": FAULTS, "soak": SOAK, "realtime": PACE,
          "planning": PLANNING}  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("table", choices=TABLES, help="; ".join(f"{name}: {about}" for name, about in TABLES.items()))
    parser.add_argument("--out", type=Path, required=True, help="folder for the results; what it holds already is not measured again")
    parser.add_argument("--quick", action="store_true", help="few episodes")
    parser.add_argument("--only", default="", metavar="REGEX", help="episodes whose name matches")
    split_help = "worlds to tune on, or to be judged on; unseen, blind, fresh: goals in new words (default: %(default)s)"
    parser.add_argument("--split", choices=("validate", "test", "unseen", "blind", "fresh"), default="test", help=split_help)
    parser.add_argument("--landmarks", action="store_true", help="read signs and judge landmarks too (takes longer)")
    parser.add_argument("--processes", type=int, default=1, help="episodes at once (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="measure anew what was measured before, from the artefacts that are left of it")
    parser.add_argument("--prepare", action="store_true", help="only make the worlds and drives that are not there yet")
    parser.add_argument("--eyes", type=Path, default=Path("models/eyes"), help="occupancy, forecast: the exported eyes (default: %(default)s)")
    parser.add_argument("--maps", type=Path, help="localization, relocalization: folder of maps that `astra eval mapping` has built (OUT/maps)")
    parser.add_argument("--queries", type=int, default=100, metavar="N", help="localization: images a map (default: %(default)s; 20 with --quick)")
    parser.add_argument("--frames", type=int, default=1, metavar="K", help="localization: also up to K frames of motion, every 20th query (default: 1, none)")
    parser.add_argument("--foreign", action="store_true", help="localization: also images of another of the worlds, every fourth query")
    parser.add_argument("--real", type=Path, metavar="DIR", help="localization: instead, the photos of DIR/kitchen and DIR/fox (data sets with truth)")
    parser.add_argument("--cameras", default="", metavar="NAMES", help="relocalization: only these cameras, such as front (default: all)")
    parser.add_argument("--map", type=Path, default=Path("maps/demo_office"), help="faults, soak, realtime: the map to drive on (default: %(default)s)")
    parser.add_argument("--world", type=Path, help="faults, soak, realtime: the world that the map is of (default: the demonstration's office)")
    parser.add_argument("--max-load", type=float, default=1e3, metavar="L", help="faults: leave what is due for later when the machine is busier")
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N", help="soak, realtime: how long (default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=0, metavar="N", help="realtime: make the map so large by copies of itself")
    parser.add_argument("--config", type=Path, metavar="DIR", help="realtime, soak: folder of parameter files instead of config/")
    parser.add_argument("--failed", action="store_true", help="faults: once more those that failed")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=DIR", help="planning: an exported planner; may be given again")
    parser.add_argument("--peers", default="", metavar="NAMES", help="planning: only these peers, with commas; none: no peer (default: all)")
    parser.add_argument("--forecast", action="store_true", help="planning: the models also with everybody who is seen going on as fast as now")
    parser.add_argument("--steps", type=int, nargs="*", default=[], metavar="N", help="planning: other numbers of solver steps, with the first model")
    parser.add_argument("--closed-loop", type=int, default=0, metavar="N", help="planning: instead, N kinematic episodes (no pictures, no physics)")
    parser.add_argument("--samples", type=Path, help="occupancy, forecast: a packed set of the split, instead of worlds that are made")
    parser.add_argument("--drives", type=Path, nargs="*", default=[], help="odometry: recorded drives of the split, to measure odometry that sees")
    parser.add_argument("--head", type=Path, default=Path("models/odometry"), help="odometry: the exported head (default: %(default)s)")
    parser.add_argument("--two-frames", type=Path, help="odometry: an exported head of one step without points, BEV-ODOM, beside it")
    parser.add_argument("--rides", type=Path, help="odometry: where what the eyes saw is kept (default: rides, below --out)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print the report."""
    if args.table == "odometry":
        from astra.evaluation import odometry

        if args.drives:
            from astra.evaluation.odometry_vision import SeenTableConfig, run_seen

            run_seen(SeenTableConfig(tuple(args.drives), args.head, args.two_frames, args.eyes, args.rides, args.split), args.out, _progress)
            print((args.out / "report.md").read_text(encoding="utf-8"))
            return 0
        odometry.run(odometry.OdometryTableConfig(args.split, 6 if args.quick else 60, args.again), args.out, _progress)
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    if args.table == "localization":
        return _localization(args)
    if args.table in ("faults", "soak", "realtime"):
        return _through_ros(args)
    if args.table == "planning":
        return _planning(args)
    if args.table == "relocalization":
        from astra.core.errors import BadInputError
        from astra.evaluation import relocalization

        if args.maps is None:
            raise BadInputError("relocalization needs --maps: a folder of maps that `astra eval mapping` has built")
        names = tuple(args.cameras.split(",")) if args.cameras else ()
        starts = 2 if args.quick else 12
        relocalization.run(relocalization.RelocalizationTableConfig(args.maps, starts, names, args.only), args.out, _progress)
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    if args.table == "goals":
        from astra.evaluation import goals_table

        goals_table.run(goals_table.GoalsTableConfig(args.split, 1 if args.quick else 4), args.out, _progress)
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    if args.table in ("occupancy", "forecast"):
        from astra.evaluation import occupancy_table

        worlds, rides = (3, 2) if args.quick else (9, 3)
        occupancy_table.run(occupancy_table.EyesTableConfig(args.split, worlds, rides, eyes=args.eyes, samples=args.samples), args.out, _progress)
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    from astra.evaluation.mapping.measure import MeasureConfig
    from astra.evaluation.mapping.table import TableConfig, prepare_all
    from astra.evaluation.mapping.table import run as table

    config = TableConfig(args.split, args.quick, args.only, args.again, args.processes, MeasureConfig(landmarks=args.landmarks))
    if args.prepare:
        prepare_all(config, _progress)
        return 0
    table(config, args.out, _progress)
    print((args.out / "report.md").read_text(encoding="utf-8"))
    return 0


def _localization(args: argparse.Namespace) -> int:
    from astra.core.errors import BadInputError
    from astra.evaluation.localization.measure import QueriesConfig
    from astra.evaluation.localization.table import LocalizationTableConfig, run

    if args.real is not None:
        from astra.evaluation.localization import real

        real.run(real.RealConfig(args.real, foreign_every=5 if args.quick else 1), args.out, _progress)
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    if args.maps is None:
        raise BadInputError("localization needs --maps: a map that `astra eval mapping` has built, or a folder of them")
    each = QueriesConfig(args.frames, foreign=args.foreign)
    config = LocalizationTableConfig(args.maps, args.split, 20 if args.quick else args.queries, args.only, each=each)
    run(config, args.out, _progress)
    print((args.out / "report.md").read_text(encoding="utf-8"))
    return 0


def _through_ros(args: argparse.Namespace) -> int:
    from astra.core.paths import cache_dir
    from astra.ros import realtime, soak
    from astra.ros.faults.run import FaultsConfig, run
    from astra.sim.world import build_office

    world = args.world or cache_dir() / "faults" / "office"
    if args.world is None and not world.exists():
        build_office(world, 0)
    if args.table == "realtime":
        realtime.run(realtime.RealtimeConfig(world, args.map, args.minutes, args.nodes, args.config), args.out, _progress)
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    if args.table == "soak":
        soak.run(soak.SoakConfig(world, args.map, args.minutes, config=args.config), args.out, _progress)
        print((args.out / "report.md").read_text(encoding="utf-8"))
        return 0
    outcomes = run(FaultsConfig(world, args.map, args.only, args.again, args.failed, args.max_load), args.out, _progress)
    print((args.out / "report.md").read_text(encoding="utf-8"))
    return int(not all(outcome.passed for outcome in outcomes.values()))


def _planning(args: argparse.Namespace) -> int:
    from astra.core.errors import BadInputError
    from astra.evaluation.planning import PEERS, PlanningTableConfig, run

    models = [tuple(text.partition("=")[::2]) for text in args.model]
    for name, folder in models:
        if not (name and folder):
            raise BadInputError(f"--model {name}: give it as NAME=DIR")
    named = tuple((name, Path(folder)) for name, folder in models)
    if args.closed_loop:
        from astra.evaluation import planning_loop

        loop = planning_loop.LoopTableConfig(args.split, args.closed_loop, named)
        if args.peers:
            loop = replace(loop, peers=tuple(name for name in args.peers.split(",") if name != "none"))
        planning_loop.run(loop, args.out, _progress)
        print((args.out / planning_loop.REPORT).read_text(encoding="utf-8"))
        return 0
    chosen = PEERS if not args.peers else tuple(name for name in args.peers.split(",") if name != "none")
    config = PlanningTableConfig(args.split, 50 if args.quick else 400, named, chosen, steps=tuple(args.steps), forecast=args.forecast)
    run(config, args.out, _progress)
    print((args.out / "report.md").read_text(encoding="utf-8"))
    return 0


def _progress(text: str) -> None:
    print(f"  · {text}", file=sys.stderr, flush=True)
