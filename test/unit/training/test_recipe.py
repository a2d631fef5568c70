"""The data recipe: kinds take turns, validation worlds are apart, and what is packed is not made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from astra.core.errors import BadInputError
from astra.training.recipe import DataConfig, jobs


def test_kinds_take_turns_and_validation_is_apart(tmp_path: Path) -> None:
    found = list(jobs(DataConfig(worlds=20, validate_every=5), tmp_path))
    held = [job for job in found if job.seed >= 10_000]
    assert len(found) == 20 and len(held) == 4
    assert {job.kind for job in found} == {job.kind for job in held} == {"home", "office", "warehouse"}
    assert len({job.seed for job in found}) == 20


def test_finished_shards_are_passed_over(tmp_path: Path) -> None:
    first = next(jobs(DataConfig(), tmp_path))
    (tmp_path / "train" / f"{first.world}_glide0").mkdir(parents=True)
    assert next(jobs(DataConfig(), tmp_path)).glides == (1,)
    (tmp_path / "train" / f"{first.world}_glide1").mkdir()
    assert next(jobs(DataConfig(), tmp_path)).world != first.world


def test_test_seeds_are_out_of_reach() -> None:
    with pytest.raises(BadInputError, match="first_seed"):
        DataConfig(worlds=100, first_seed=9_950)
