"""The expert driver: full knowledge in, training drives out."""

from astra.datasets.expert.disturbance import DisturbanceConfig, Disturber
from astra.datasets.expert.driver import ExpertConfig, ExpertDriver, floor_for
from astra.datasets.expert.forecast import MoverForecast, NoMovers
from astra.datasets.expert.starts import StartKind, draw_start
from astra.datasets.expert.tour import ExpertTour

__all__ = [
    "DisturbanceConfig",
    "Disturber",
    "ExpertConfig",
    "ExpertDriver",
    "ExpertTour",
    "MoverForecast",
    "NoMovers",
    "StartKind",
    "draw_start",
    "floor_for",
]
