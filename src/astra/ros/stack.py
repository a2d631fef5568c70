"""The one description of the stack: which nodes run, with which parameters. `launch/` and `astra up` both start what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.paths import share_dir

ParameterValue = str | int | float | bool | list[str]
SIM_START = "random"


@dataclass(frozen=True, slots=True)
class SimOptions:
    """The embedded simulator: `world` is a world folder or a MuJoCo XML; `start` is "random" or "x,y,yaw"."""

    world: Path
    start: str = SIM_START
    seed: int = 0
    lidar: bool = True


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What to start. With `nav2`, Nav2's controller, behaviours and collision monitor take the place of astra_controller."""

    map: Path | None = None
    sim: SimOptions | None = None
    use_sim_time: bool = False
    namespace: str = ""
    nav2: bool = False
    record: Path | None = None
    black_box: Path | None = None  # folder for snapshots of the last minute
    dash: bool = False  # the live page of `astra dash`
    autostart: bool = True
    config_dir: Path | None = None  # overrides of config/*.yaml
    stamped: bool = False  # cmd_vel is a TwistStamped; else what the parameter files say
    bt: bool = False  # Nav2's bt_navigator serves navigate_to_pose and goal_pose
    publish_map: bool = True  # False: Nav2's map_server owns map
    keepout_mask: Path | None = None  # as Nav2's map_server keeps them
    speed_mask: Path | None = None

    def __post_init__(self) -> None:
        require(self.map is not None or self.sim is not None, "map", None, "given, unless only the simulator runs")


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One process: the executable `name`, its parameter file if there is one, and parameters that override it."""

    name: str
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    config: Path | None = None


def describe(options: StackOptions) -> tuple[NodeSpec, ...]:
    """The nodes of the stack in the order in which they start.

    Raises:
        BadInputError: the map, the world or the folder of parameter files does not exist.
    """
    common: dict[str, ParameterValue] = {"use_sim_time": options.use_sim_time or options.sim is not None, "autostart": options.autostart}
    nodes: list[NodeSpec] = []
    if options.record is not None:
        nodes.append(_node("astra_recorder", options, {**common, "out": str(options.record)}))
    if options.sim is not None:
        nodes.append(_simulator(options, options.sim))
    if options.map is not None:
        if not options.map.exists():
            raise BadInputError(f"map {options.map} does not exist")
        path = str(options.map.resolve())
        nodes.append(_node("astra_odometry", options, common))
        if not options.nav2:
            nodes.append(_node("astra_controller", options, {**common, **_stamped(options)}))
        masks = _masks(options)
        nodes.append(_node("astra_local", options, {**common, **masks}))
        owned: dict[str, ParameterValue] = {} if options.publish_map else {"publish_map": False}
        nodes.append(_node("astra_global", options, {**common, "map": path, "map_roots": [str(Path(path).parent)], **owned}))
        left: dict[str, ParameterValue] = {"serve_navigate_to_pose": False, "subscribe_goal_pose": False} if options.bt else {}
        zones = {name: file for name, file in masks.items() if name == "keepout_mask"}
        nodes.append(_node("astra_navigator", options, {**common, **left, **zones}))
    if options.black_box is not None:
        nodes.append(_node("astra_black_box", options, {**common, "out": str(options.black_box)}))
    if options.dash:
        nodes.append(_node("astra_dash", options, common))
    return tuple(nodes)


def _simulator(options: StackOptions, sim: SimOptions) -> NodeSpec:
    if not sim.world.exists():
        raise BadInputError(f"world {sim.world} does not exist")
    parameters: dict[str, ParameterValue] = {
        "world": str(sim.world.resolve()), "start": sim.start, "seed": sim.seed, "lidar": sim.lidar, "autostart": options.autostart,
        **_stamped(options),
    }  # fmt: skip
    return _node("astra_sim", options, parameters)


def _stamped(options: StackOptions) -> dict[str, ParameterValue]:
    return {"enable_stamped_cmd_vel": True} if options.stamped else {}


def _masks(options: StackOptions) -> dict[str, ParameterValue]:
    given = {"keepout_mask": options.keepout_mask, "speed_mask": options.speed_mask}
    for name, mask in given.items():
        if mask is not None and not mask.is_file():
            raise BadInputError(f"{name} {mask} does not exist")
    return {name: str(mask.resolve()) for name, mask in given.items() if mask is not None}


def _node(name: str, options: StackOptions, parameters: Mapping[str, ParameterValue]) -> NodeSpec:
    folder = options.config_dir or share_dir() / "config"
    if not folder.is_dir():
        raise BadInputError(f"folder of parameter files {folder} does not exist")
    config = folder / f"{name}.yaml"
    return NodeSpec(name, parameters, config if config.is_file() else None)
