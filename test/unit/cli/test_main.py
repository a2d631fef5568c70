import subprocess
import sys
from pathlib import Path

import pytest

from astra.cli.main import COMMANDS, main


def test_the_lower_rooms_need_neither_torch_nor_ros() -> None:
    code = "import sys, astra.topomap, astra.geometry; sys.exit(any(m in sys.modules for m in ('torch', 'rclpy', 'pycolmap', 'mujoco')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "example" in capsys.readouterr().out.lower()


def test_unknown_commands_exit_with_two() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fly"])
    assert stop.value.code == 2


def test_the_console_script_works_from_any_directory_without_an_environment(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("astra")
    bare = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([script, "--version"], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert done.stdout.startswith("astra ")
