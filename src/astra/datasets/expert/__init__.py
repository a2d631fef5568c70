"""The expert driver: full knowledge in, training drives out."""

from astra.datasets.expert.driver import ExpertConfig, ExpertDriver, floor_for
from astra.datasets.expert.forecast import MoverForecast, NoMovers

__all__ = ["ExpertConfig", "ExpertDriver", "MoverForecast", "NoMovers", "floor_for"]
