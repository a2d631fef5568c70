"""What the audit of a map found: which parts can be trusted, and which loops could not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Whether a part of the map can be trusted. A doubtful one may be off by metres although every image fits it."""

    CONSISTENT = "consistent"
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, slots=True)
class FragmentAudit:
    """One fragment's verdict. `nodes` counts them, `loops` the revisits that agree with it, `checks` names what it was tested against."""

    nodes: int
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    loops: int = 0
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SuspiciousLoop:
    """Nodes `a` and `b` look alike, were matched, and are not the same place."""

    a: int
    b: int
    reason: str


@dataclass(frozen=True, slots=True)
class MapAudit:
    """The verdict on a map, on each of its fragments in their order, and the loops that were cut."""

    verdict: Verdict
    reasons: tuple[str, ...]
    fragments: tuple[FragmentAudit, ...]
    suspicious_loops: tuple[SuspiciousLoop, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain lists and dicts, for map.yaml and `--json`."""
        return {
            "verdict": str(self.verdict),
            "reasons": list(self.reasons),
            "fragments": [
                {"nodes": f.nodes, "verdict": str(f.verdict), "reasons": list(f.reasons), "loops": f.loops, "checks": list(f.checks)}
                for f in self.fragments
            ],
            "suspicious_loops": [{"a": loop.a, "b": loop.b, "reason": loop.reason} for loop in self.suspicious_loops],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> MapAudit:
        """What `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        fragments = tuple(
            FragmentAudit(int(f["nodes"]), Verdict(f["verdict"]), _texts(f["reasons"]), int(f["loops"]), _texts(f["checks"]))
            for f in value["fragments"]
        )
        loops = tuple(SuspiciousLoop(int(loop["a"]), int(loop["b"]), str(loop["reason"])) for loop in value["suspicious_loops"])
        return MapAudit(Verdict(value["verdict"]), _texts(value["reasons"]), fragments, loops)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(text) for text in value)
