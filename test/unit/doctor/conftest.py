"""A recorder of drives."""

from __future__ import annotations

from pathlib import Path

import pytest
from ailing_robot import Record, recorder


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Writes one drive of a robot that is well, or has one thing wrong."""
    return recorder(tmp_path)
