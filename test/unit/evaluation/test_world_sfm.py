"""Plain SfM finds its way in every kind of world: the walls do not repeat. Asserted against truth, never by how many images it takes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from astra.evaluation.world_sfm import WalkConfig, reconstruct_walk, walk
from astra.sim.worlds.build import generate
from astra.sim.worlds.plan import KINDS, Kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_is_reconstructed_to_five_centimetres(kind: Kind, tmp_path: Path) -> None:
    world = generate(kind, 10_001, tmp_path / kind, plain=True)
    assert world.truth is not None
    path = walk(world.truth, WalkConfig())
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    assert 5.0 < length <= 25.0
    result = reconstruct_walk(world)
    assert result.ate_m < 0.05
    assert result.registered >= 0.9 * result.total  # else the error says little
