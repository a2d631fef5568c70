"""One fault: what is broken, for how long, and what must happen then. Pure data; `astra.ros.faults` breaks things."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from astra.core.config import require


class Expect(StrEnum):
    """The state in which the robot must be while a fault lasts."""

    STANDS = "stands"  # it stops in time and does not move before the fault is gone
    DRIVES = "drives"  # the mission goes on
    EITHER = "either"  # it may go on or stop, as long as nothing is hit


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table. `name` is unique; `breaks` and `expected` are for people, `acts` names the node that deals with it.

    Args:
        how: key of the injection in `astra.ros.faults.injections`, and `what` its arguments.
        zero_s: STANDS: by then the last command other than zero was sent, counted from the fault's beginning [s].
        stop_s: STANDS: by then the robot stands; braking from full speed takes it 0.7 s [s].
        hold_s: how long the fault lasts [s]; 0: it is an event.
        recover_s: from the fault's end until the mission goes on [s].
        back_s: a killed node must be active again within this [s]; infinite where none is killed.
    """

    name: str
    breaks: str
    how: str
    what: tuple[str, ...]
    expect: Expect
    expected: str
    acts: str
    zero_s: float = math.inf
    stop_s: float = math.inf
    hold_s: float = 5.0
    recover_s: float = 10.0
    back_s: float = math.inf

    def __post_init__(self) -> None:
        require(self.hold_s >= 0.0, "hold_s", self.hold_s, "≥ 0")
        require((self.expect is Expect.STANDS) == math.isfinite(self.stop_s), "stop_s", self.stop_s, "finite where the robot must stand, else infinite")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened; one line of episodes.jsonl. Times are NaN where there was nothing to time."""

    name: str
    passed: bool
    why: str  # of a failure; empty
    stopped_s: float  # from the fault to standing [s]
    command_zero_s: float  # from the fault to the first of a row of zero commands [s]
    moved_m: float  # way driven while the fault lasted, after the time allowed for stopping [m]
    recovered_s: float  # from the fault's end to driving again, or to the answer that was asked for [s]
    back_s: float  # from a kill to the node's being active again [s]
    collisions: int  # at fault and otherwise, from the simulator's own record
    restarts: int
    load: float  # 1-minute load average of the machine when the fault ended
    note: str = ""
