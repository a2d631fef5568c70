"""What can be checked of the images without building them: pins, users, health, and that everything they name exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docker").glob("*Dockerfile"))
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
each = pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)


def instructions(path: Path) -> list[tuple[str, str]]:
    """(keyword, rest) of each instruction, continued lines joined, comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in whole]


def test_there_are_a_runtime_and_a_training_image() -> None:
    assert {path.name for path in FILES} == {"Dockerfile", "training.Dockerfile"}


@each
def test_bases_are_pinned_and_nobody_is_root_in_the_end(path: Path) -> None:
    steps = instructions(path)
    stages = {rest.split()[-1] for keyword, rest in steps if keyword == "FROM" and " AS " in rest}
    bases = [rest.split()[0] for keyword, rest in steps if keyword == "FROM"]
    given = dict(rest.split("=", 1) for keyword, rest in steps if keyword == "ARG")
    for base in bases:
        image = given["BASE"] if base == "${BASE}" else base
        assert image in stages or re.fullmatch(r"[\w./-]+(:(?!latest)[\w.-]+|@sha256:[0-9a-f]{64})", image), image
    users = [rest for keyword, rest in steps if keyword == "USER"]
    assert users[-1] == "10001:10001"
    assert any(keyword == "HEALTHCHECK" for keyword, _ in steps)


@each
def test_packages_are_installed_without_leftovers_and_from_pinned_lists(path: Path) -> None:
    for keyword, rest in instructions(path):
        assert keyword != "ADD"
        if keyword != "RUN":
            continue
        assert "curl" not in rest and "sudo" not in rest
        for command in rest.split("&&"):
            if "apt-get install" in command:
                assert "--no-install-recommends" in command
                assert "rm -rf /var/lib/apt/lists" in rest
            if "pip install" in command:
                assert "--no-cache-dir" in command
                assert "-r requirements" in command or " -e ." in command


@each
def test_what_is_copied_exists(path: Path) -> None:
    for keyword, rest in instructions(path):
        if keyword == "COPY":
            sources = [part for part in rest.split()[:-1] if not part.startswith("--")]
            assert all((ROOT / source).exists() for source in sources), rest


def test_python_packages_are_pinned_exactly() -> None:
    for name in ("requirements.txt", "requirements/no-deps.txt"):
        lines = [line.split("#")[0].split(";")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
        assert all(re.fullmatch(r"[\w.\[\]-]+==[\w.+]+", line) for line in lines if line), name


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_a_service_can_be_built_and_started(name: str) -> None:
    service: dict[str, Any] = COMPOSE["services"][name]
    dockerfile = ROOT / service["build"]["dockerfile"]
    stages = {rest.split()[-1] for keyword, rest in instructions(dockerfile) if keyword == "FROM" and " AS " in rest}
    assert service["build"]["target"] in stages
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service and service.get("user") != "root"
    command = service["command"]
    if command[:2] == ["ros2", "launch"]:
        launch = (ROOT / "launch" / command[3]).read_text(encoding="utf-8")
        for argument in command[4:]:
            assert f'"{argument.partition(":=")[0]}"' in launch, argument
    for volume in service.get("volumes", ()):
        source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[0]
        assert (ROOT / "docker" / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])


def test_compose_has_the_simulator_gazebo_and_a_robot() -> None:
    profiles = {name: set(service["profiles"]) for name, service in COMPOSE["services"].items()}
    for profile, needed in {"sim": {"world", "sim", "stack"}, "gazebo": {"world", "gazebo", "stack"}, "robot": {"robot"}}.items():
        assert {name for name, of in profiles.items() if profile in of} == needed


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
@each
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    done = subprocess.run(["hadolint", "-c", str(ROOT / ".hadolint.yaml"), str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["entrypoint.sh", "healthcheck.sh"])
def test_scripts_are_sound(script: str) -> None:
    path = ROOT / "docker" / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(path)], check=False, timeout=10).returncode == 0
