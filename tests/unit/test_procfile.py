"""The Procfile: read, found and the same everywhere."""

import sys
from pathlib import Path

import pytest

from queen import procfile
from shared.errors import SettingsError

ROOT = Path(__file__).parents[2]


def test_the_procfile_of_the_checkout_and_the_one_in_the_package_agree() -> None:
    assert (ROOT / "Procfile").read_text() == procfile.PROCFILE.read_text()


def test_it_names_the_four_programs_in_the_order_they_start() -> None:
    assert [entry.name for entry in procfile.read()] == ["web", "recorder", "queen", "hive"]


def test_python_and_rbee_are_ours_whatever_the_path_says() -> None:
    web, _, queen, hive = procfile.read()

    assert web.argv == [sys.executable, "-m", "queen.serve"]
    assert queen.argv == [sys.executable, "-m", "hive.main", "--kind", "queen"]
    assert hive.argv[-2:] == ["hive", "run"]
    assert Path(hive.argv[0]).is_absolute()


def test_commands_are_split_as_a_shell_would_and_comments_mean_nothing() -> None:
    entries = procfile.parse('# a comment\n\n  # another\nsay: echo "two words" --x=1\r\nq-2: true')

    assert entries == [("say", ["echo", "two words", "--x=1"]), ("q-2", ["true"])]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("web", "line 1: must look like"),
        ("web:", "line 1: must look like"),
        ("../web: true", "line 1: must look like"),
        ("\nweb: true\nweb: false", "line 3: web is named twice"),
        ("web: echo 'x", "line 1: no closing quotation"),
    ],
)
def test_a_bad_line_is_named(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        procfile.parse(text)
