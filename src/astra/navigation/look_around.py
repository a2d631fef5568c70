"""Looking around while the robot does not know where it is: turns first, short moves where turning tells nothing, and an end to both.

The localizer may name the view that would tell most (`global_model.looking`); without such a wish the robot turns step by step, and after
each full turn moves towards the widest gap. A move is made only into room that the lidar shows to be free.
"""

from __future__ import annotations

import math

from astra.navigation.mission_events import Advance, MissionConfig, Spin, Tick

_TURNED_RAD = 0.2  # less than this is no turn worth making
_MOVED_M = 0.2


class LookAround:
    """One search for a place to recognise; `next` gives its steps."""

    def __init__(self, config: MissionConfig) -> None:
        self._config = config
        self._began_s = math.nan
        self._looked_rad = 0.0
        self._steps = 0
        self._moves = 0
        self._sign = 1.0
        self._failures = 0
        self._trouble = ""
        self._gaps = 0  # full turns after which the gap was dealt with
        self._faces_gap = False
        self._moving = False
        self._shut = False  # the last wish led where there is no room

    def next(self, tick: Tick) -> Spin | Advance | str:
        """The next step, or why there is none: the robot is lost."""
        config = self._config
        if math.isnan(self._began_s):
            self._began_s = tick.now_s
        if self._looked_rad >= config.look_turns * 2.0 * math.pi or self._steps >= 3.0 * config.look_turns * 2.0 * math.pi / config.look_step_rad:
            return "looked all around and recognised no place of the map"
        if tick.now_s - self._began_s > config.look_limit_s:
            return f"recognised no place of the map within {config.look_limit_s:g} s of looking around"
        if self._failures >= 4:
            return f"recognised no place of the map, and cannot turn to look around: {self._trouble}"
        self._steps += 1
        return self._wish(tick) or self._towards_gap(tick) or self._blind_turn()

    def ended(self, ok: bool, trouble: str) -> None:
        """The last step came to its end."""
        if self._moving:
            self._shut = not ok
        elif ok:
            self._failures = 0
        else:
            self._failures, self._sign, self._trouble = self._failures + 1, -self._sign, trouble
        self._moving = False

    def _wish(self, tick: Tick) -> Spin | Advance | None:
        """Towards the view that the localizer named; a wish that leads into a wall is dropped for a turn."""
        if tick.look is None or self._shut:
            self._shut = False
            return None
        away_m = math.hypot(tick.look.x, tick.look.y)
        if away_m < _MOVED_M:
            return self._turn(tick.look.yaw) if abs(tick.look.yaw) > _TURNED_RAD else None
        if self._moves >= self._config.look_moves:
            return None
        bearing = math.atan2(tick.look.y, tick.look.x)
        if abs(bearing) > _TURNED_RAD:
            return Spin(bearing)  # part of the move
        step = self._advance(tick, away_m)
        self._shut = step is None
        return step

    def _towards_gap(self, tick: Tick) -> Spin | Advance | None:
        """After each full turn: a move to where there is most room."""
        if tick.gap_rad is None or self._moves >= self._config.look_moves or self._looked_rad < 2.0 * math.pi * (self._gaps + 1):
            return None
        if abs(tick.gap_rad) > _TURNED_RAD and not self._faces_gap:
            self._faces_gap = True
            return Spin(tick.gap_rad)
        self._gaps, self._faces_gap = self._gaps + 1, False
        return self._advance(tick, self._config.look_move_m)

    def _advance(self, tick: Tick, wanted_m: float) -> Advance | None:
        distance_m = min(wanted_m, self._config.look_move_m, tick.room_ahead_m - self._config.look_margin_m)
        if distance_m < _MOVED_M:
            return None
        self._moves, self._moving = self._moves + 1, True
        return Advance(distance_m)

    def _blind_turn(self) -> Spin:
        step = self._config.look_step_rad
        # The second turn looks between the headings of the first one.
        extra = step / 2.0 if abs(self._looked_rad - 2.0 * math.pi) < step / 4.0 else 0.0
        return self._turn(self._sign * (step + extra), step)

    def _turn(self, angle_rad: float, counted_rad: float | None = None) -> Spin:
        self._looked_rad += abs(angle_rad) if counted_rad is None else counted_rad
        return Spin(angle_rad)
