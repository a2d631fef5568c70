"""What an examination says: one finding for each check, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """How bad it is. `UNKNOWN`: nothing to judge by; `WARNING`: it will work, worse; `ERROR`: do not drive with it."""

    OK = 0
    UNKNOWN = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was examined, `what` says what was found, `advice` what to do; `value` is the measured figure in `unit`."""

    check: str
    severity: Severity
    what: str
    advice: str = ""
    value: float | None = None
    unit: str = ""

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {**asdict(self), "severity": self.severity.name.lower()}


def graded(check: str, value: float, unit: str, warn: float, fail: float, *, what: str, advice: str) -> Finding:
    """A finding by the size of a figure: from `warn` on a warning, from `fail` on an error (`fail` < `warn`: smaller is worse).

    Args:
        check: what was examined.
        value: the figure.
        unit: its unit.
        warn: from here on a warning.
        fail: from here on an error.
        what: the finding in words.
        advice: what to do; kept where there is something to do.
    """
    sign = 1.0 if fail >= warn else -1.0
    severity = Severity.ERROR if sign * value >= sign * fail else Severity.WARNING if sign * value >= sign * warn else Severity.OK
    return Finding(check, severity, what, advice if severity is not Severity.OK else "", round(float(value), 6), unit)


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst severity among the findings."""
    return max((f.severity for f in findings), default=Severity.OK)
