"""One generated office for the whole run, and small scenes whose answers are known in closed form."""

from __future__ import annotations

from pathlib import Path

import pytest

from astra.sim.world import World, build_office


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The office of seed 0."""
    return build_office(tmp_path_factory.mktemp("worlds") / "office", 0)


@pytest.fixture
def yard(tmp_path: Path) -> World:
    """An empty floor with one wall whose face is the plane x = 3, and a red marker cube centred at (2.5, 0.4, 1.2)."""
    path = tmp_path / "yard.xml"
    path.write_text(
        """<mujoco><visual><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/></visual><worldbody>
        <geom type="plane" size="0 0 1" rgba="0.3 0.3 0.3 1" friction="1 0.005 0.0001"/>
        <geom type="box" size="0.1 2 1" pos="3.1 0 1" rgba="0.2 0.4 0.2 1"/>
        <geom type="box" size="0.04 0.04 0.04" pos="2.5 0.4 1.2" rgba="1 0 0 1" contype="0" conaffinity="0"/>
        </worldbody></mujoco>""",
        encoding="utf-8",
    )
    return World("yard", path)
