from dataclasses import dataclass, field
from pathlib import Path

import pytest

from astra.core.config import from_mapping, load_config, require
from astra.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Inner:
    gain: float = 1.0

    def __post_init__(self) -> None:
        require(0.0 <= self.gain <= 10.0, "gain", self.gain, "0 to 10")


@dataclass(frozen=True, slots=True)
class Outer:
    name: str = "a"
    enabled: bool = True
    sizes: tuple[float, ...] = (1.0,)
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)


def test_overrides_keep_the_other_defaults(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("inner: {gain: 2}\nsizes: [1, 2]\nlimit: 3\n")
    assert load_config(Outer, path) == Outer(sizes=(1.0, 2.0), limit=3.0, inner=Inner(2.0))
    assert load_config(Outer, None) == Outer()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"gian": 1}, "gian"),
        ({"inner": {"gain": 11}}, "gain = 11"),
        ({"inner": 3}, "inner"),
        ({"name": 3}, "name"),
        ({"enabled": "yes"}, "enabled"),
        ({"sizes": "x"}, "sizes"),
        ({"limit": True}, "limit"),
    ],
)
def test_bad_values_are_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        from_mapping(Outer, values)


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "\x00"])
def test_files_that_are_no_mapping_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_config(Outer, path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(Outer, tmp_path / "nowhere.yaml")
