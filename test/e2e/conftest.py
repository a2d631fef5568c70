"""The demo's world, tour and map, made once for all missions here (and found again by `make demo`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from astra.cli.demo import recipe_of_sources
from astra.cli.main import main
from astra.core.paths import cache_dir
from astra.ros.environment import activate

activate()


@dataclass(frozen=True, slots=True)
class Place:
    world: Path
    tour: Path
    map: Path


@pytest.fixture(scope="session")
def office() -> Place:
    folder = cache_dir() / "demo" / recipe_of_sources()
    place = Place(folder / "office", folder / "tour", folder / "map")
    if not place.world.exists():
        assert main(["sim", "world", "--kind", "demo", "--seed", "0", "--out", str(place.world)]) == 0
    if not place.tour.exists():
        assert main(["sim", "record", str(place.world), "--out", str(place.tour), "--no-truth"]) == 0
    if not place.map.exists():
        assert main(["map", "build", str(place.tour), "--out", str(place.map)]) == 0
    return place


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """A ROS domain of this test's own."""
    domain = 51 + sum(request.node.name.encode()) % 49
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    return domain
