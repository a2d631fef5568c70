import math
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.geometry import Trajectory


def test_interpolates_and_clamps() -> None:
    t = Trajectory(np.array([0, 10]), np.array([[0.0, 0.0, 3.0], [1.0, 2.0, -3.0]]))
    middle = t.at(5)
    assert (middle.x, middle.y) == (0.5, 1.0)
    assert abs(middle.yaw) == pytest.approx(math.pi)  # the short way round
    assert t.at(-5).x == 0.0
    assert t.at(50).x == 1.0
    assert Trajectory(np.array([3]), np.array([[1.0, 2.0, 0.0]])).at(99).y == 2.0


def test_tum_round_trip(tmp_path: Path) -> None:
    stamps = np.array([1_700_000_000_123_456_789, 1_700_000_000_223_456_789])
    t = Trajectory(stamps, np.array([[0.0, 0.0, 0.1], [1.0, 2.0, -3.0]]))
    t.save_tum(tmp_path / "t.tum")
    again = Trajectory.load_tum(tmp_path / "t.tum")
    assert (again.stamps_ns == stamps).all()
    np.testing.assert_allclose(again.poses, t.poses, atol=1e-6)


@pytest.mark.parametrize(
    "content", ["", "1 2 3", "1 0 0 0 0 0 0 nan", "x 0 0 0 0 0 0 1", "1 0 0 0 0 0 0 0", "2 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1"]
)
def test_bad_tum_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.tum").write_text(content)
    with pytest.raises(BadInputError):
        Trajectory.load_tum(tmp_path / "t.tum")
