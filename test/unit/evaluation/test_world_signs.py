"""Every sign of every kind of world can be read from its tour, by OCR, with the robot's own cameras."""

from __future__ import annotations

from pathlib import Path

import pytest

from astra.evaluation.world_signs import unread_signs
from astra.perception.text import TextReader
from astra.sim.worlds.build import generate
from astra.sim.worlds.plan import KINDS, Kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_sign_is_read_somewhere_on_the_tour(kind: Kind, tmp_path: Path) -> None:
    left, count = unread_signs(generate(kind, 10_002, tmp_path / kind, plain=True), TextReader())
    assert left == ()
    assert kind == "home" or count >= 8
