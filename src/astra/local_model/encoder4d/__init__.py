"""Past and current voxel features → future ones, at any moment within two seconds (paper 3.2.1)."""

from astra.local_model.config import ForecasterConfig
from astra.local_model.encoder4d.forecaster import Forecaster, Foreseen, Past
from astra.local_model.encoder4d.warp import warp_volume

__all__ = ["Forecaster", "ForecasterConfig", "Foreseen", "Past", "warp_volume"]
