"""Something that moves by a timetable: where it is at any time follows from its knots alone, so that it can be predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import yaml

from astra.core.config import load_yaml
from astra.core.errors import BadInputError
from astra.core.types import FloatArray

MoverKind = Literal["person", "cart", "pallet_jack"]
Colour = tuple[int, int, int]
MOVERS_FILE = "movers.yaml"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Looks:
    """What a person wears, RGB; `load` colours what a cart or pallet jack carries."""

    skin: Colour
    hair: Colour
    top: Colour
    trousers: Colour
    shoes: Colour
    load: Colour


@dataclass(frozen=True, slots=True, eq=False)
class Mover:
    """A person, alone or with a cart or pallet jack, walking the same loop for ever.

    `knots` (K, 4): time [s], x, y [m], yaw [rad, unwrapped]; straight in between; from time 0 to `period_s`, where the loop is closed
    up to whole turns. `phase_s` is the place in the loop at time 0. `radius_m` covers the whole mover about (x, y), however it turns.
    """

    name: str
    kind: MoverKind
    radius_m: float
    height_m: float
    looks: Looks
    phase_s: float
    knots: FloatArray

    def __post_init__(self) -> None:
        k = self.knots
        if k.ndim != 2 or k.shape[1] != 4 or len(k) < 2 or not np.isfinite(k).all():
            raise BadInputError(f"mover {self.name!r}: knots must be at least two finite rows of time, x, y, yaw, found shape {k.shape}")
        if k[0, 0] != 0.0 or (np.diff(k[:, 0]) <= 0).any():
            raise BadInputError(f"mover {self.name!r}: the knots' times must rise from 0")
        turns = (k[-1, 3] - k[0, 3]) / (2 * math.pi)
        if np.abs(k[-1, 1:3] - k[0, 1:3]).max() > 1e-6 or abs(turns - round(turns)) > 1e-3:
            raise BadInputError(f"mover {self.name!r}: the loop is not closed")
        if self.kind not in get_args(MoverKind):
            raise BadInputError(f"mover {self.name!r}: kind {self.kind!r} is none of {', '.join(get_args(MoverKind))}")

    @property
    def period_s(self) -> float:
        """Time after which everything repeats [s]."""
        return float(self.knots[-1, 0])

    @property
    def top_speed_mps(self) -> float:
        """The highest speed in the loop [m/s]."""
        steps = np.diff(self.knots, axis=0)
        return float((np.hypot(steps[:, 1], steps[:, 2]) / steps[:, 0]).max())

    def poses(self, times_s: FloatArray) -> FloatArray:
        """(…, 3): x, y [m], yaw [rad, unwrapped within a period] at times (…) [s]."""
        own = (np.asarray(times_s, dtype=np.float64) + self.phase_s) % self.period_s
        return np.stack([np.interp(own, self.knots[:, 0], self.knots[:, k]) for k in (1, 2, 3)], axis=-1)

    def pose(self, time_s: float) -> tuple[float, float, float]:
        """x, y [m] and yaw [rad, in (-π, π]] at a time."""
        x, y, yaw = (float(v) for v in self.poses(np.array(time_s)))
        return x, y, math.atan2(math.sin(yaw), math.cos(yaw))

    def velocity(self, time_s: float) -> tuple[float, float, float]:
        """Velocity (x, y) [m/s] and turning rate [rad/s] at a time, in the world frame."""
        own = (time_s + self.phase_s) % self.period_s
        k = min(int(np.searchsorted(self.knots[:, 0], own, side="right")), len(self.knots) - 1)
        step = self.knots[k] - self.knots[k - 1]
        vx, vy, rate = (float(v) for v in step[1:] / step[0])
        return vx, vy, rate


def save_movers(movers: tuple[Mover, ...], folder: Path) -> None:
    """Write movers.yaml into a world's folder."""
    entries = [
        {
            "name": m.name,
            "kind": m.kind,
            "radius_m": m.radius_m,
            "height_m": m.height_m,
            "looks": {name: list(getattr(m.looks, name)) for name in Looks.__slots__},
            "phase_s": m.phase_s,
            "knots": m.knots.tolist(),
        }
        for m in movers
    ]
    document = {"format_version": FORMAT_VERSION, "movers": entries}
    (folder / MOVERS_FILE).write_text(yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=160), encoding="utf-8")


def load_movers(folder: Path) -> tuple[Mover, ...]:
    """The movers of a world's folder; none if it has no movers.yaml.

    Raises:
        BadInputError: the file is damaged or of another version.
    """
    path = folder / MOVERS_FILE
    if not path.is_file():
        return ()
    document = load_yaml(path)
    try:
        if document["format_version"] != FORMAT_VERSION:
            raise BadInputError(f"{path}: format_version {document['format_version']} is not {FORMAT_VERSION}")
        return tuple(_from_entry(entry) for entry in document["movers"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"{path}: {type(error).__name__} {error}") from error


def _from_entry(entry: dict[str, Any]) -> Mover:
    looks = Looks(**{part: (int(rgb[0]), int(rgb[1]), int(rgb[2])) for part, rgb in entry["looks"].items()})
    knots = np.array(entry["knots"], dtype=np.float64)
    return Mover(str(entry["name"]), entry["kind"], float(entry["radius_m"]), float(entry["height_m"]), looks, float(entry["phase_s"]), knots)
