"""The documents say what the code has: settings, operations, states, commands, dependencies."""

import re
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from cli.main import rbee
from shared.operations import OPERATIONS
from shared.settings import NAMES
from shared.states import JobState

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def commands(group: click.Group, prefix: str = "rbee") -> list[str]:
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        full = f"{prefix} {name}"
        found += commands(command, full) if isinstance(command, click.Group) else [full]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_in_the_readme(name: str) -> None:
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_and_its_parameters_are_in_the_readme(name: str) -> None:
    row = next((line for line in README.splitlines() if line.startswith(f"| `{name}` |")), "")

    assert all(f"`{parameter}`" in row for parameter in OPERATIONS[name].params.model_fields)


@pytest.mark.parametrize("state", JobState)
def test_every_state_is_in_the_readme(state: str) -> None:
    assert f"`{state}`" in README


@pytest.mark.parametrize("command", commands(rbee))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"| `{command}" in README


def test_the_readme_names_no_command_that_is_not_there() -> None:
    told = re.findall(r"^\| `(rbee(?: [a-z]+)+)", README, re.MULTILINE)

    assert told
    assert set(told) <= set(commands(rbee))


def test_every_dependency_is_justified() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [re.split(r"[<>=\[;~ ]", line)[0] for line in project["dependencies"]]

    assert [
        name
        for name in wanted
        if not re.search(rf"^\|[^|]*\b{re.escape(name)}\b", CONTRIBUTING, re.MULTILINE)
    ] == []


def test_the_compose_file_builds_this_image_and_names_only_known_settings() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())

    queen = compose["services"]["queen"]
    assert (ROOT / "docker" / queen["build"]["context"] / queen["build"]["dockerfile"]).is_file()
    assert set(queen["environment"]) <= set(NAMES)
    assert set(compose["services"]) == {"queen", "valkey", "postgres"}


def test_the_image_copies_every_package() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()

    for package in ("queen", "hive", "shared", "web", "cli"):
        assert f"COPY {package} {package}" in dockerfile
