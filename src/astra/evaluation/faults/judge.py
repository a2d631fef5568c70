"""Did the robot do what a fault's row says? Judged by the simulator's truth alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray
from astra.evaluation.faults.fault import Expect, Fault, Outcome

STOPPED_MPS, STOPPED_RADPS = 0.02, 0.05
SLOWED_S = 0.1  # a simulator that lags by more is mentioned
STILL_M = 0.03  # less is the wheels' settling
ZERO = 1e-3
DRIVES_M = 0.3  # a mission that goes on covers more than this while a fault lasts


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What was seen around a fault, on the watcher's steady clock [s].

    Args:
        began_s, ended_s: the fault's time; `driving_s`: when the robot was seen driving again, NaN if it was not.
        truth: (N, 6) rows of time, x, y [m], yaw [rad], linear [m/s], angular [rad/s] from before the fault to after it.
        commands: (M, 3) rows of time, linear, angular: what was sent to the wheels.
        arrived: whether a mission ended well while the fault lasted.
        back_s: from a kill to the node's activity, infinite if it did not come back, NaN if none was killed.
        simulated_s: (N,) the simulator's own time of each row of `truth`; None where it kept real time.
        complaints: anything else that must not be: a node given up, a command that is not finite, an answer that was wrong.
    """

    began_s: float
    ended_s: float
    driving_s: float
    truth: FloatArray
    commands: FloatArray
    arrived: bool
    back_s: float
    collisions: int
    restarts: int
    load: float
    complaints: tuple[str, ...] = ()
    note: str = ""
    simulated_s: FloatArray | None = None


def judge(fault: Fault, seen: Watched) -> Outcome:
    """Compare with the row; every broken promise is named."""
    zero_s = zero_after_s(seen.commands, seen.began_s, seen.ended_s)
    during = seen.truth[(seen.truth[:, 0] >= seen.began_s) & (seen.truth[:, 0] <= seen.ended_s)].copy()
    during[:, 0] -= seen.began_s
    real_s = first_stand_s(during)
    during[:, 0] = braking_times(seen, zero_s)
    stopped_s = first_stand_s(during)
    slowed = math.isfinite(stopped_s) and real_s - stopped_s > SLOWED_S
    note = "; ".join(filter(None, (seen.note, f"{real_s:.2f} s of real time until it stood: the simulator was slow" if slowed else "")))
    allowed_s = fault.stop_s if math.isfinite(fault.stop_s) else 0.0
    moved_m = way_m(during, allowed_s)
    recovered_s = seen.driving_s - seen.ended_s
    why = list(seen.complaints)
    if seen.collisions:
        why.append(f"{seen.collisions} collisions")
    if fault.expect is Expect.STANDS and not zero_s <= fault.zero_s:
        why.append(f"commanded to stop after {zero_s:.2f} s instead of {fault.zero_s:g} s")
    if fault.expect is Expect.STANDS and not stopped_s <= fault.stop_s:
        why.append(f"stopped after {stopped_s:.2f} s instead of {fault.stop_s:g} s")
    if fault.expect is Expect.STANDS and moved_m > STILL_M:
        why.append(f"moved {moved_m:.2f} m while it had to stand")
    if fault.expect is Expect.DRIVES and not (seen.arrived or moved_m > min(DRIVES_M, 0.05 * fault.hold_s)):
        why.append(f"stood still ({moved_m:.2f} m) where the mission had to go on")
    if not recovered_s <= fault.recover_s:
        why.append(f"drove again after {recovered_s:.1f} s instead of {fault.recover_s:g} s")
    if math.isfinite(fault.back_s) and not seen.back_s <= fault.back_s:
        why.append(f"the node was back after {seen.back_s:.1f} s instead of {fault.back_s:g} s")
    return Outcome(
        fault.name, not why, "; ".join(why), stopped_s, zero_s, moved_m, recovered_s, seen.back_s, seen.collisions, seen.restarts, seen.load, note
    )


def braking_times(seen: Watched, zero_s: float) -> FloatArray:
    """Times since the fault of the rows of truth while it lasted [s]: real time until the stack commanded zero, for that is the stack's to answer for;
    the simulator's own time from then on, in which wheels brake and a base's watchdog counts: on a busy machine it runs slower than a robot would.
    """
    lasted = (seen.truth[:, 0] >= seen.began_s) & (seen.truth[:, 0] <= seen.ended_s)
    real: FloatArray = seen.truth[lasted, 0] - seen.began_s
    if seen.simulated_s is None or len(real) == 0:
        return real
    zero = zero_s if math.isfinite(zero_s) else 0.0
    simulated_zero_s = float(np.interp(seen.began_s + zero, seen.truth[:, 0], seen.simulated_s))
    times: FloatArray = np.where(real <= zero, real, zero + seen.simulated_s[lasted] - simulated_zero_s)
    return times


def first_stand_s(during: FloatArray) -> float:
    """Time of the first row (time since the fault, x, y, yaw, linear, angular) in which the robot stands; infinite if there is none."""
    still = (np.abs(during[:, 4]) < STOPPED_MPS) & (np.abs(during[:, 5]) < STOPPED_RADPS)
    return float(during[np.argmax(still), 0]) if still.any() else math.inf


def way_m(during: FloatArray, from_s: float) -> float:
    """Way driven from a time since the fault on, turning on the spot not counted."""
    rows = during[during[:, 0] >= from_s]
    return float(np.linalg.norm(np.diff(rows[:, 1:3], axis=0), axis=1).sum()) if len(rows) > 1 else 0.0


def zero_after_s(commands: FloatArray, began_s: float, ended_s: float) -> float:
    """Time from the fault to the command from which on none but zeros was sent while it lasted; 0 where none was sent at all."""
    during = commands[(commands[:, 0] >= began_s) & (commands[:, 0] <= ended_s)]
    moving = np.flatnonzero(np.abs(during[:, 1:]).max(axis=1) > ZERO) if len(during) else np.zeros(0, int)
    if len(moving) == 0:
        return 0.0
    if moving[-1] == len(during) - 1:
        return math.inf if ended_s - during[-1, 0] < 0.3 else float(during[-1, 0] - began_s)
    return float(during[moving[-1] + 1, 0] - began_s)
