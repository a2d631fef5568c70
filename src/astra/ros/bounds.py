"""What a configuration dataclass says about its fields: in words, in units, in bounds. Parameters are described from it, so that nothing is said twice."""

from __future__ import annotations

import dataclasses
import linecache
import math
import re
import sys
from collections.abc import Hashable
from functools import cache
from typing import Any

from astra.core.errors import BadInputError

NUMBER = r"-?(?:\d+(?:\.\d+)?(?:e-?\d+)?|π(?:/\d)?)"
BOTH = re.compile(rf"({NUMBER})\s*(?:and|to|,|…|\.\.|–)\s*({NUMBER})")
LEAST = re.compile(rf"(?:>|≥|at least|more than|from)\s*({NUMBER})")
MOST = re.compile(rf"(?:<|≤|at most|less than|up to)\s*({NUMBER})")
UNITS = {
    "s": "s", "m": "m", "mps": "m/s", "mps2": "m/s²", "radps": "rad/s", "radps2": "rad/s²", "rad": "rad", "deg": "°", "hz": "Hz", "px": "px", "mb": "MB",
    "ms": "ms", "kg": "kg", "bytes": "bytes", "frequency": "Hz", "rate": "Hz", "timeout": "s", "allowance": "s", "period": "s", "latency": "s",
    "radius": "m", "dist": "m", "angle": "rad",
}  # fmt: skip


@cache
def descriptions(cls: Hashable) -> dict[str, str]:
    """Field → words: `metadata["help"]`, else the comment behind the field, else its name in plain letters; the unit in brackets where the name tells it."""
    assert isinstance(cls, type)
    comments = dict(re.findall(r"^\s+(\w+): [^#\n]*#\s*(.+)$", _source(cls), re.MULTILINE))
    found = {}
    for field in dataclasses.fields(cls):
        text = str(field.metadata.get("help", "")) or comments.get(field.name, "") or field.name.replace("_", " ")
        unit = unit_of(field.name) if field.type in ("float", "int", float, int, "float | None") else ""
        told = "[" in text or (bool(unit) and re.match(rf"{re.escape(unit)}\b", text) is not None)
        found[field.name] = text if told or not unit else f"{text} [{unit}]"
    return found


def _source(cls: type) -> str:
    """The class's lines; empty for code without a file. Much quicker than inspect.getsource, which parses the whole module each time."""
    text = "".join(linecache.getlines(getattr(sys.modules.get(cls.__module__), "__file__", "") or ""))
    found = re.search(rf"^class {cls.__name__}\b.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def unit_of(name: str) -> str:
    """The unit that a field's name carries, empty for none: `timeout_s` → s, Nav2's `max_angular_vel` → rad/s."""
    words = name.split("_")
    if words[-1] in ("vel", "speed"):
        return "rad/s" if "angular" in words or "spin" in words else "m/s"
    if words[-1] in ("accel", "decel", "braking"):
        return "rad/s²" if "angular" in words or "spin" in words else "m/s²"
    return UNITS.get(words[-1], "")


def bound_of(config: Any, name: str) -> str:
    """The bound of a numeric field, in the words with which the dataclass refuses a value beyond it; empty if it takes everything."""
    value = getattr(config, name)
    extremes = (-(10**9), 10**9) if isinstance(value, int) else (-1e30, 1e30)
    for extreme in extremes:
        try:
            dataclasses.replace(config, **{name: extreme})
        except BadInputError as error:
            refusal = re.search(rf"(?:^|[\s.]){re.escape(name)} = \S+ is out of bounds: must be (.+)$", str(error))
            if refusal:
                return refusal[1]
        except (ArithmeticError, ValueError, TypeError, MemoryError):  # a check that such a value breaks says nothing about bounds
            continue
    return ""


def range_of(bound: str) -> tuple[float, float] | None:
    """Least and greatest value that a bound in words allows, its ends included; None where it names no number."""
    if found := BOTH.search(bound):
        low, high = sorted(map(_number, found.groups()))
        return low, high
    least, most = LEAST.search(bound), MOST.search(bound)
    if bound.startswith("positive") or "finite number > 0" in bound:
        return 0.0, math.inf
    if least is None and most is None:
        return None
    return (_number(least[1]) if least else -math.inf), (_number(most[1]) if most else math.inf)


def limits_of(config: Any, name: str, bound: str) -> tuple[float, float] | None:
    """`range_of` a field's bound, if the dataclass agrees: what lies within is taken, what lies beyond is refused. None where words and checks differ."""
    limits = range_of(bound)
    if limits is None or not limits[0] <= getattr(config, name) <= limits[1]:
        return None
    whole = isinstance(getattr(config, name), int)
    for end, outwards in zip(limits, (-1, 1)):
        if math.isinf(end):
            continue
        step = 1 if whole else max(abs(end), 1.0) * 1e-6
        inside, outside = end - outwards * step, end + outwards * step
        within = limits[0] <= inside <= limits[1]
        if (within and not _takes(config, name, inside, whole)) or _takes(config, name, outside, whole):
            return None
    return limits


def _takes(config: Any, name: str, value: float, whole: bool) -> bool:
    try:
        dataclasses.replace(config, **{name: int(value) if whole else value})
    except (BadInputError, ArithmeticError, ValueError, TypeError):
        return False
    return True


def _number(text: str) -> float:
    if "π" not in text:
        return float(text)
    share = text.lstrip("-").partition("/")[2]
    return math.copysign(math.pi / float(share or 1), -1.0 if text.startswith("-") else 1.0)
