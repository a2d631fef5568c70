"""ROS tests: the environment, and a domain for each test so that neighbours never hear each other."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from astra.core.errors import MissingDependencyError
from astra.ros.environment import activate, reserve_domain

try:
    activate()
    import astra_nav.msg  # noqa: F401
except (MissingDependencyError, ImportError) as error:
    pytest.skip(f"ROS tests need ROS 2 and the built interfaces: {error}", allow_module_level=True)

os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS domain of this test's own, set for it and for the processes it starts."""
    domain = reserve_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    yield domain


@pytest.fixture(scope="module")
def ros_domain_of_module() -> Iterator[int]:
    """A ROS domain of this module's own, for benches that its tests share."""
    with pytest.MonkeyPatch.context() as patch:
        domain = reserve_domain()
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        yield domain
