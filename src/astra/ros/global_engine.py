"""The parameters of astra_global, and everything in it that belongs to one loaded map."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from astra.core.config import require
from astra.fusion.relocalization import RelocalizationConfig
from astra.fusion.smoothing import SmoothingConfig
from astra.global_model.backends.protocol import GlobalBackend
from astra.global_model.backends.select import BackendConfig, make_backend
from astra.global_model.goal import GoalConfig, GoalFinder
from astra.global_model.localizer import GlobalLocalizer, GlobalLocalizerConfig, LoadedMap
from astra.navigation.whereabouts import WhereaboutsConfig
from astra.ros.global_inputs import InputsConfig


@dataclass(frozen=True, slots=True)
class GlobalNodeConfig:
    """Parameters of astra_global."""

    map: str = field(default="", metadata={"help": "map folder; empty: wait for /astra/load_map"})
    map_roots: tuple[str, ...] = field(default=(), metadata={"help": "folders that /astra/load_map may load from; default: the map's parent"})
    map_frame: str = field(default="map", metadata={"help": "frame of the map"})
    odom_frame: str = field(default="odom", metadata={"help": "frame of /odom"})
    lost_period_s: float = field(default=0.5, metadata={"help": "least time between localizations while lost or in doubt [s]"})
    tracking_period_s: float = field(default=1.0, metadata={"help": "least time between localizations once localized [s]"})
    standing_period_s: float = field(default=2.0, metadata={"help": "least time between localizations once localized and at standstill [s]"})
    max_lost_cpu_share: float = field(default=0.7, metadata={"help": "of one core for localizing while lost or in doubt; the period grows if need be"})
    max_cpu_share: float = field(default=0.13, metadata={"help": "of one core for localizing once localized; the period grows if need be"})
    confirm_cameras: int = field(default=2, metadata={"help": "of several cameras, how many at a time confirm a pose that is known, in turns"})
    tf_rate_hz: float = field(default=25.0, metadata={"help": "rate of TF map→odom [Hz]"})
    pose_rate_hz: float = field(default=5.0, metadata={"help": "rate of /astra/pose [Hz]"})
    transform_tolerance_s: float = field(default=0.1, metadata={"help": "TF map→odom is stamped this far ahead [s]"})
    publish_tf: bool = field(default=True, metadata={"help": "publish TF map→odom; false where another node owns it"})
    publish_map: bool = field(default=True, metadata={"help": "publish /map from the map's occupancy; false where a map server owns it"})
    near_radius_m: float = field(default=3.0, metadata={"help": "around the believed position, where the search starts [m]"})
    prior_sigma_m: float = field(default=0.3, metadata={"help": "least uncertainty of /initialpose [m]"})
    prior_sigma_rad: float = field(default=0.2, metadata={"help": "least uncertainty of /initialpose [rad]"})
    scan: bool = field(default=True, metadata={"help": "while unsure, read the lidar for where there is room to look from; false for robots without one"})
    half_width_m: float = field(default=0.30, metadata={"help": "of the robot with a margin, for that room [m]"})
    niceness: int = field(default=5, metadata={"help": "of this process, so that what drives goes before it; 0: like any other"})
    inputs: InputsConfig = field(default_factory=InputsConfig)
    whereabouts: WhereaboutsConfig = field(default_factory=WhereaboutsConfig)
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)
    relocalization: RelocalizationConfig = field(default_factory=RelocalizationConfig)
    backend: BackendConfig = field(default_factory=BackendConfig)
    localizer: GlobalLocalizerConfig = field(default_factory=GlobalLocalizerConfig)
    goal: GoalConfig = field(default_factory=GoalConfig)

    def __post_init__(self) -> None:
        for name in ("lost_period_s", "tracking_period_s", "standing_period_s", "near_radius_m", "prior_sigma_m", "prior_sigma_rad", "half_width_m"):
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "a finite number > 0")
        for name in ("max_cpu_share", "max_lost_cpu_share"):
            require(0.0 < getattr(self, name) <= 1.0, name, getattr(self, name), "in (0, 1]")
        require(self.confirm_cameras >= 1, "confirm_cameras", self.confirm_cameras, "≥ 1")
        require(0 <= self.niceness <= 19, "niceness", self.niceness, "in 0..19")
        require(20.0 <= self.tf_rate_hz <= 200.0, "tf_rate_hz", self.tf_rate_hz, "in 20..200")
        require(0.1 <= self.pose_rate_hz <= 50.0, "pose_rate_hz", self.pose_rate_hz, "in 0.1..50")
        require(0.0 <= self.transform_tolerance_s <= 2.0, "transform_tolerance_s", self.transform_tolerance_s, "in 0..2")


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """One map with its localizer and its goal finder; used on the worker's thread alone."""

    folder: Path
    loaded: LoadedMap
    localizer: GlobalLocalizer
    finder: GoalFinder

    @staticmethod
    def load(folder: Path, config: GlobalNodeConfig, backend: GlobalBackend | None = None) -> Engine:
        """Load a map folder; a `backend` whose models are loaded already serves on.

        Raises:
            MapError: it cannot be used; says why.
        """
        loaded = LoadedMap.load(folder)
        backend = backend or make_backend(config.backend)
        localizer = GlobalLocalizer(folder, config.localizer, loaded, backend)
        finder = GoalFinder(folder, config.goal, loaded, backend, localizer)
        finder.prepare()
        return Engine(folder, loaded, localizer, finder)
