"""`astra eval faults`: one bring-up of the stack, one fault after the other on a robot that is under way."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astra.core.errors import AstraError, BadInputError
from astra.evaluation.faults import mllm, report
from astra.evaluation.faults.fault import Expect, Fault, Outcome
from astra.evaluation.faults.judge import Watched, judge
from astra.evaluation.faults.table import FAULTS
from astra.ros.environment import activate
from astra.ros.mission import isolate_ros

if TYPE_CHECKING:
    from astra.ros.faults.bench import StackBench

UNDER_WAY_S = 90.0  # to find the robot in full motion
SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class FaultsConfig:
    """Which world and map, and which faults: names that match `only`; `again` repeats those that were run before, `failed` those that failed."""

    world: Path
    map: Path
    only: str = ""
    again: bool = False
    failed: bool = False
    max_load: float = 1e3  # of the machine, beyond which no further fault is tried: what is measured then says nothing


def run(config: FaultsConfig, out: Path, say: Callable[[str], None]) -> dict[str, Outcome]:
    """Run what has not been run into `out` yet, and write the report.

    Raises:
        BadInputError: no fault is called so, or world or map cannot be used.
        AstraError: the stack did not come up, or the robot does not get under way.
    """
    chosen = [fault for fault in FAULTS if re.search(config.only, fault.name)]
    if not chosen:
        raise BadInputError(f"no fault matches {config.only!r}; known: {', '.join(f.name for f in FAULTS)}")
    out.mkdir(parents=True, exist_ok=True)
    outcomes = report.load(out)
    due = [f for f in chosen if config.again or f.name not in outcomes or (config.failed and not outcomes[f.name].passed)]
    for fault in [f for f in due if f.how == "mllm"]:
        _note(out, mllm.run(fault), outcomes, say)
    if through := [f for f in due if f.how != "mllm"]:
        _through_the_stack(config, through, out, outcomes, say)
    report.write(out, FAULTS, outcomes)
    return outcomes


def _through_the_stack(config: FaultsConfig, due: list[Fault], out: Path, outcomes: dict[str, Outcome], say: Callable[[str], None]) -> None:
    isolate_ros()
    activate()
    from astra.ros.faults.bench import StackBench, load_average, patrol_places
    from astra.sim.world import load_world
    from astra.topomap.io import load_map

    truth = load_world(config.world).truth
    if truth is None:
        raise BadInputError(f"{config.world} carries no truth: use a world made by `astra sim world`")
    places = patrol_places(load_map(config.map))
    start = truth.tour_start
    session = out / "sessions" / time.strftime("%Y%m%d-%H%M%S")
    session.mkdir(parents=True)
    with StackBench(config.world, config.map, f"{start.x},{start.y},{start.yaw}", places, session, say) as bench:
        for fault in due:
            if load_average() > config.max_load:
                say(f"left for a quieter hour: the load is {load_average():.0f}")
                return
            _note(out, one(bench, fault), outcomes, say)


def _note(out: Path, outcome: Outcome, outcomes: dict[str, Outcome], say: Callable[[str], None]) -> None:
    report.append(out, outcome)
    outcomes[outcome.name] = outcome
    report.write(out, FAULTS, outcomes)
    say(f"{outcome.name}: {'as expected' if outcome.passed else outcome.why} {outcome.note}")


def one(bench: StackBench, fault: Fault) -> Outcome:
    """Break one thing while the robot drives, mend it, and watch until it drives again.

    Raises:
        AstraError: the robot does not get under way at all.
    """
    from astra.ros.faults.bench import load_average
    from astra.ros.faults.injections import INJECTIONS

    bench.patrol(True)
    if not bench.until(bench.fast, UNDER_WAY_S):
        words = "; ".join(f"{name}: {text}" for name, (level, text) in sorted(bench.statuses.items()) if level)
        raise AstraError(f"the robot does not get under way within {UNDER_WAY_S:.0f} s before {fault.name}: {words}; {bench.ends[-1:]}")
    contacts, restarts, ends = bench.collisions, bench.supervisor.restarts, len(bench.ends)
    bench.patrol(fault.expect is not Expect.STANDS)
    from_row, from_command = max(len(bench.truth) - 50, 0), len(bench.commands)
    began = bench.now_s()
    back: dict[str, float] = {}
    with INJECTIONS[fault.how](bench, *fault.what) as notes:
        began = notes.began_s or began
        bench.until(lambda: _come_back(bench, notes.killed, back) and bench.now_s() - began >= fault.hold_s, fault.hold_s)
        ended = bench.now_s()
    bench.patrol(True)
    driving = [math.nan]

    def drives() -> bool:
        if math.isnan(driving[0]) and bench.driving(ended):
            driving[0] = bench.now_s()
        return _come_back(bench, notes.killed, back) and not math.isnan(driving[0])

    bench.until(drives, fault.recover_s + 5.0)
    load = load_average()
    bench.spend(SETTLE_S)
    complaints = [*notes.complaints, *(f"{name} was given up" for name in bench.supervisor.failed)]
    unasked = bench.supervisor.restarts - restarts - len(notes.killed)
    if unasked > 0:
        complaints.append(f"{unasked} nodes died that nobody killed")
    seen = Watched(
        began, ended, driving[0], np.array(bench.truth[from_row:]), np.array(bench.commands[from_command:]).reshape(-1, 3),
        any(code == 0 for _, code, _ in bench.ends[ends:]), _back_s(notes.killed, back), bench.collisions - contacts,
        bench.supervisor.restarts - restarts, load, tuple(complaints), notes.note,
        np.array(bench.simulated_s[from_row:]),
    )  # fmt: skip
    return judge(fault, seen)


def _come_back(bench: StackBench, killed: dict[str, tuple[int, float]], back: dict[str, float]) -> bool:
    """Note when each killed node is active again, as a new process; whether all are."""
    for name, (old, when) in killed.items():
        if name not in back and bench.supervisor.pid(name) not in (None, old) and bench.heard.get(name, 0.0) > when + 0.05:
            back[name] = bench.heard[name] - when
    return set(back) == set(killed)


def _back_s(killed: dict[str, tuple[int, float]], back: dict[str, float]) -> float:
    if not killed:
        return math.nan
    return max(back.get(name, math.inf) for name in killed)
