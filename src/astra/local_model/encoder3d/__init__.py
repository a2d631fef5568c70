"""Images of any rig → voxel features: ViT → depth distribution → Lift-Splat → voxel pooling (paper 3.2.1)."""

from astra.local_model.config import Encoder3dConfig
from astra.local_model.encoder3d.encoder import Encoder3d, Encoding

__all__ = ["Encoder3d", "Encoder3dConfig", "Encoding"]
