"""Every parameter of every node has words, and numbers have units and bounds, all from the dataclasses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest

from astra.core.config import require
from astra.ros.bounds import bound_of, descriptions, limits_of, range_of, unit_of

NO_BOUNDS = {"seed", "bias", "metre_cost", "radian_cost", "elsewhere_loss"}  # and the weights of a formula, per_…


@dataclasses.dataclass(frozen=True)
class Sample:
    """A configuration."""

    timeout_s: float = 1.0  # until it gives up
    max_angular_vel: float = 0.5
    count: int = dataclasses.field(default=3, metadata={"help": "how many"})

    def __post_init__(self) -> None:
        require(0.0 < self.timeout_s <= 20.0, "timeout_s", self.timeout_s, "in (0, 20]")
        require(self.max_angular_vel > 0.0, "max_angular_vel", self.max_angular_vel, "> 0")
        require(1 <= self.count <= 9, "count", self.count, "between 1 and 9")


def test_words_units_and_bounds_come_from_the_dataclass() -> None:
    assert descriptions(Sample) == {"timeout_s": "until it gives up [s]", "max_angular_vel": "max angular vel [rad/s]", "count": "how many"}
    assert [bound_of(Sample(), field.name) for field in dataclasses.fields(Sample)] == ["in (0, 20]", "> 0", "between 1 and 9"]


def test_a_bound_in_words_that_the_checks_do_not_bear_out_is_no_range() -> None:
    @dataclasses.dataclass(frozen=True)
    class Grid:
        size_m: float = 8.0

        def __post_init__(self) -> None:
            require(1.0 <= self.size_m <= 30.0, "size_m", self.size_m, "at least 20 cells and at most 30 m")

    assert limits_of(Grid(), "size_m", bound_of(Grid(), "size_m")) is None
    assert limits_of(Sample(), "timeout_s", "in (0, 20]") == (0.0, 20.0)
    assert limits_of(Sample(), "timeout_s", "in (0, 30]") is None
    assert limits_of(Sample(), "count", "between 1 and 9") == (1.0, 9.0)


@pytest.mark.parametrize(
    ("bound", "limits"),
    [
        ("between 0 and 50 Hz", (0.0, 50.0)), ("5 … 100 Hz", (5.0, 100.0)), ("in (0, 1]", (0.0, 1.0)), ("in 20..200", (20.0, 200.0)),
        ("> 0", (0.0, math.inf)), ("a finite number > 0", (0.0, math.inf)), ("≥ 1", (1.0, math.inf)), ("at most 2.0", (-math.inf, 2.0)),
        ("in (0, π/2)", (0.0, math.pi / 2)), ("between 1 and 1e6 MB", (1.0, 1e6)), ("one of a, b", None), ("in 1..max_trials", None),
        ("in [-1, 1]", (-1.0, 1.0)),
    ],
)  # fmt: skip
def test_bounds_in_words_become_numbers(bound: str, limits: tuple[float, float] | None) -> None:
    assert range_of(bound) == (pytest.approx(limits) if limits is not None else None)


def test_units_by_name() -> None:
    names = ("scan_timeout", "spin_min_speed", "max_linear_accel", "size_m", "tick_hz", "share")
    assert [unit_of(name) for name in names] == ["s", "rad/s", "m/s²", "m", "Hz", ""]


def numbers(config: Any) -> Iterator[tuple[Any, str]]:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from numbers(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield config, field.name


@pytest.mark.ros
def test_every_number_that_a_node_takes_has_a_bound_in_words() -> None:
    from astra.ros.environment import activate

    activate()
    from astra.ros.global_engine import GlobalNodeConfig
    from astra.ros.nodes import astra_black_box, astra_controller, astra_dash, astra_local, astra_navigator, astra_odometry, astra_recorder, astra_sim

    configs = [
        GlobalNodeConfig(), astra_black_box.BlackBoxConfig(), astra_controller.ControllerNodeConfig(), astra_dash.DashConfig(), astra_local.LocalNodeConfig(),
        astra_navigator.NavigatorConfig(), astra_odometry.OdometryNodeConfig(), astra_recorder.RecorderConfig(), astra_sim.SimNodeConfig(),
    ]  # fmt: skip
    without = {(type(c).__name__, name) for config in configs for c, name in numbers(config) if not bound_of(c, name) and name not in NO_BOUNDS}
    weights = {pair for pair in without if pair[1].startswith("per_")}
    later = {("FineConfig", "max_trials"), ("LanguageConfig", "sure_cosine"), ("StandingConfig", "min_m"), ("StandingConfig", "max_m")}
    for config in configs:
        for owner, name in numbers(config):
            limits = limits_of(owner, name, bound_of(owner, name))
            assert limits is None or limits[0] <= getattr(owner, name) <= limits[1], name
    assert without - weights <= later  # bound by another field
