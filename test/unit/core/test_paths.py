from pathlib import Path

import pytest

from astra.core.paths import atomic_dir, atomic_write, recipe_hash


def test_atomic_dir_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "map"
    with pytest.raises(RuntimeError), atomic_dir(target) as scratch:
        (scratch / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_dir(target) as scratch:
        (scratch / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_dir(target) as scratch:
        (scratch / "a").write_text("new")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    with atomic_dir(target) as scratch:
        (scratch / "a").write_text("new")
    assert (target / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_write_replaces(tmp_path: Path) -> None:
    atomic_write(tmp_path / "f", "one")
    atomic_write(tmp_path / "f", b"two")
    assert (tmp_path / "f").read_text() == "two"
    assert len(list(tmp_path.iterdir())) == 1


def test_recipe_hash_ignores_key_order_and_sees_values() -> None:
    assert recipe_hash({"a": 1, "b": 2}) == recipe_hash({"b": 2, "a": 1})
    assert recipe_hash({"a": 1}) != recipe_hash({"a": 2})
