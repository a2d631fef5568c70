"""The base of every node, as processes: lifecycle, parameters, diagnostics, signals."""

from __future__ import annotations

import ast
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy.node
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter
from ros_bench import RosBench, ros_bench
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

import astra.ros.nodes
from astra.ros import qos

pytestmark = pytest.mark.ros

CODE = """
from dataclasses import dataclass, field
from std_msgs.msg import String
import logging
from astra.core.config import require
from astra.core.errors import MapError
from astra.ros import node, params

@dataclass(frozen=True, slots=True)
class Inner:
    depth: int = 2
    names: tuple[str, ...] = ()
    gains: tuple[float, ...] = (1.0, 2.0)

@dataclass(frozen=True, slots=True)
class Config:
    rate_hz: float = field(default=10.0, metadata={"help": "how often"})
    label: str | None = None
    fail: str = ""
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        require(0 < self.rate_hz <= 50, "rate_hz", self.rate_hz, "between 0 and 50 Hz")

class Sample(node.AstraLifecycleNode):
    def __init__(self):
        super().__init__("sample")
        self.words = self.create_publisher(String, "words", 10)

    def say(self, text):
        self.words.publish(String(data=text))

    def on_setup(self):
        config = params.declare_config(self, Config, dynamic=("rate_hz",), on_change=self.renew)
        if config.fail == "typed":
            raise MapError("map /x is damaged")
        if config.fail == "bug":
            raise KeyError("a bug")
        self.own_topic("words")
        self.report(node.WARN, "battery", "low", volts=11.5)
        self.timer = self.create_timer(0.05, self.tell, clock=self.steady)
        self.config = config
        logging.getLogger("astra.core").warning("a word from the core")

    def renew(self, config):
        self.config = config

    def tell(self):
        self.say(repr(self.config))
        self.say(f"time {self.now_ns()}")

    def on_start(self): self.say("start")
    def on_stop(self): self.say("stop")
    def on_teardown(self): self.say("teardown"); self.destroy_timer(self.timer)

from astra.ros.environment import activate
raise SystemExit(node.run(Sample))
"""
CODE = "from astra.ros.environment import activate\nactivate()\n" + CODE


@pytest.fixture
def bench(ros_domain: int) -> Iterator[RosBench]:
    with ros_bench() as bench:
        yield bench


@pytest.fixture
def words(bench: RosBench) -> list[str]:
    out: list[str] = []
    bench.node.create_subscription(String, "words", lambda m: out.append(m.data), 50)
    return out


def test_it_starts_by_itself_with_defaults_reports_and_ends_in_order_on_a_signal(bench: RosBench, words: list[str]) -> None:
    process = bench.start("sample", code=CODE)
    bench.until(lambda: any(w.startswith("Config") for w in words), 15.0, "words")
    assert next(w for w in words if w.startswith("Config")) == "Config(rate_hz=10.0, label=None, fail='', inner=Inner(depth=2, names=(), gains=(1.0, 2.0)))"
    bench.until(lambda: bench.active("sample"), 5.0, "an active state in the diagnostics")
    assert bench.diagnostics["sample: battery"] == (DiagnosticStatus.WARN, "low")
    assert bench.state("sample") == "active"
    words.clear()
    process.popen.send_signal(signal.SIGTERM)
    bench.until(lambda: "teardown" in words, 5.0, "the last words")  # published after the signal
    assert [w for w in words if not w.startswith(("Config", "time"))] == ["stop", "teardown"]
    assert process.popen.wait(5.0) == 0
    assert "a word from the core" in process.output


def test_simulated_time_is_read_when_it_is_asked_for(bench: RosBench, words: list[str]) -> None:
    clock = bench.node.create_publisher(Clock, "/clock", qos.SENSOR)
    bench.start("sample", {"use_sim_time": True}, code=CODE)
    for second in (42, 43, 7):  # also back
        def heard(second: int = second) -> bool:
            clock.publish(Clock(clock=Time(sec=second)))
            return f"time {second * 10**9}" in words[-4:]

        bench.until(heard, 15.0, f"second {second}")


def test_parameters_arrive_with_their_types(bench: RosBench, words: list[str]) -> None:
    bench.start("sample", {"rate_hz": 5, "label": "x", "inner.depth": 7, "inner.names": ["a", "b"], "inner.gains": [0.5]}, code=CODE)
    bench.until(lambda: any(w.startswith("Config") for w in words), 15.0, "words")
    assert next(w for w in words if w.startswith("Config")) == "Config(rate_hz=5.0, label='x', fail='', inner=Inner(depth=7, names=('a', 'b'), gains=(0.5,)))"


@pytest.mark.parametrize(
    ("parameters", "code", "named"),
    [
        ({"rate_hz": 60.0}, 2, "rate_hz = 60.0 is out of bounds: must be between 0 and 50 Hz"),
        ({"rate_hz": "fast"}, 2, "rate_hz must be of type float, found 'fast'"),
        ({"inner.depth": 1.5}, 2, "inner.depth must be of type int"),
        ({"rate_hs": 5.0}, 2, "parameter 'rate_hs' is not known to sample; did you mean 'rate_hz'?"),
        ({"fail": "typed"}, 2, "map /x is damaged"),
        ({"fail": "bug"}, 1, "KeyError"),
    ],
)
def test_what_cannot_be_meant_ends_the_process_with_one_clear_word(bench: RosBench, parameters: dict, code: int, named: str) -> None:
    process = bench.start("sample", parameters, code=CODE)
    assert process.popen.wait(15.0) == code
    assert named in process.output


def test_parameters_describe_themselves_and_change_within_their_bounds(bench: RosBench, words: list[str]) -> None:
    bench.start("sample", code=CODE)
    bench.until(lambda: bench.active("sample"), 15.0, "the node")

    def ask(service: Any, name: str, request: Any) -> Any:
        client = bench.node.create_client(service, f"/sample/{name}")
        bench.until(client.service_is_ready, 5.0, name)
        answer = client.call_async(request)
        bench.until(answer.done, 5.0, f"an answer of {name}")
        return answer.result()

    rate, depth = ask(DescribeParameters, "describe_parameters", DescribeParameters.Request(names=["rate_hz", "inner.depth"])).descriptors
    assert (rate.description, rate.read_only, rate.additional_constraints) == ("how often [Hz]", False, "between 0 and 50 Hz")
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (0.0, 50.0)
    assert depth.read_only

    def change(name: str, value: float) -> Any:
        return ask(SetParameters, "set_parameters", SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])).results[0]

    assert change("rate_hz", 20.0).successful
    bench.until(lambda: "rate_hz=20.0" in words[-2], 5.0, "the change")
    too_fast, nought, fixed = change("rate_hz", 60.0), change("rate_hz", 0.0), change("inner.depth", 3)
    assert not too_fast.successful and "50" in too_fast.reason
    assert not nought.successful and "rate_hz = 0.0 is out of bounds: must be between 0 and 50 Hz" in nought.reason  # an end that is left out
    assert not fixed.successful
    assert "rate_hz=20.0" in words[-2] or "rate_hz=20.0" in words[-1]


def test_a_lifecycle_manager_can_lead_it_through_all_states_and_again(bench: RosBench, words: list[str]) -> None:
    bench.start("sample", {"autostart": False}, code=CODE)
    assert bench.state("sample") == "unconfigured"
    for _ in range(2):
        words.clear()
        assert bench.transition("sample", Transition.TRANSITION_CONFIGURE)
        assert bench.state("sample") == "inactive"
        assert bench.transition("sample", Transition.TRANSITION_ACTIVATE)
        assert bench.state("sample") == "active"
        assert bench.transition("sample", Transition.TRANSITION_DEACTIVATE)
        assert bench.transition("sample", Transition.TRANSITION_CLEANUP)
        assert bench.state("sample") == "unconfigured"
        bench.until(lambda: "teardown" in words, 5.0, "the teardown")
        assert [w for w in words if not w.startswith(("Config", "time"))] == ["start", "stop", "teardown"]


def test_without_autostart_a_failed_configuration_leaves_the_node_to_be_corrected(bench: RosBench) -> None:
    process = bench.start("sample", {"autostart": False, "fail": "typed"}, code=CODE)
    assert not bench.transition("sample", Transition.TRANSITION_CONFIGURE)
    assert bench.state("sample") == "unconfigured"
    assert process.popen.poll() is None
    bench.until(lambda: bench.diagnostics.get("sample: configuration", (b"", ""))[0] == DiagnosticStatus.ERROR, 5.0, "a diagnostic")
    assert bench.diagnostics["sample: configuration"][1] == "map /x is damaged"


def test_a_second_owner_of_a_topic_is_an_error_until_it_leaves(bench: RosBench, words: list[str]) -> None:
    bench.start("sample", code=CODE)
    bench.until(lambda: bench.active("sample"), 15.0, "the node")
    rival = bench.new_node("rival")
    rival.create_publisher(String, "words", 10)
    bench.until(lambda: bench.diagnostics.get("sample: owner of /words", (b"", ""))[0] == DiagnosticStatus.ERROR, 10.0, "an error")
    assert "/rival" in bench.diagnostics["sample: owner of /words"][1]
    bench.remove(rival)
    bench.until(lambda: bench.diagnostics["sample: owner of /words"][0] == DiagnosticStatus.OK, 10.0, "the end of the error")


def own_attributes(path: Path) -> dict[str, set[str]]:
    """class → what its methods set on self."""
    stores: dict[str, set[str]] = {}
    for kind in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(kind, ast.ClassDef):
            names = (n for n in ast.walk(kind) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and isinstance(n.value, ast.Name))
            stores[kind.name] = {n.attr for n in names if n.value.id == "self"}  # type: ignore[attr-defined]
    return stores


@pytest.mark.parametrize("path", sorted(Path(astra.ros.nodes.__path__[0]).glob("astra_*.py")), ids=lambda p: p.stem)
def test_no_node_overwrites_what_rclpy_keeps_in_it(path: Path) -> None:
    """A node that sets `_timers` loses the timers it has; nothing else tells."""
    rclpys = own_attributes(Path(rclpy.node.__file__))["Node"]
    assert "_timers" in rclpys
    for name, stores in own_attributes(path).items():
        assert not stores & rclpys, name
