from pathlib import Path

import pytest

from astra.cli.main import main


@pytest.mark.parametrize("arguments", [["--map", "nowhere"], ["--map", ".", "--sim", "nowhere"], ["--map", ".", "--sim", ".", "--config", "nowhere"]])
def test_what_does_not_exist_is_named_and_nothing_is_started(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = tmp_path / "logs"
    assert main(["up", *arguments, "--log-dir", str(logs)]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
    assert not logs.exists()
