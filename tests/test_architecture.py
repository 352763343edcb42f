"""The house rules that a machine can check; CONTRIBUTING says why each is there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from hive.operations import OPERATIONS as WORK
from shared.operations import LANE_WIDTHS, OPERATIONS, Lane

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("shared", "hive", "queen", "web", "cli")
MAY_IMPORT = {
    "shared": set(),
    "hive": {"shared"},
    "queen": {"shared"},
    "web": {"queen", "shared"},
    "cli": {"queen", "hive", "shared"},
}
ALSO = {"queen/app.py": {"web"}}
"""The composition root."""
OURS = {*PACKAGES, "tests", "bench"}

MAX_LINES = 300
NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}

WIDE_EXCEPT = {
    "cli/hive.py": "the hive process, for the log of the service that keeps it",
    "cli/main.py": "the command line: whatever happened becomes an exit code and a line",
    "hive/download/lifeline.py": "carries an error from its thread to the asking one, which raises it",
    "hive/heartbeat.py": "the heartbeat: without one every job of the hive would be lost",
    "hive/runner.py": "one attempt of the hive: the job fails with a hint, the hive goes on",
    "hive/vendors/hub_client.py": "carries an error from its thread to the asking one, which raises it",
    "queen/reconciler.py": "the recorder process: one step that fails must not keep the others from mending",
    "queen/heartbeats.py": "the web process's writer of heartbeats: the error goes to the hive that waits",
}


def sources(*packages: str) -> list[str]:
    """Paths from the root."""
    return sorted(
        str(path.relative_to(ROOT)) for package in packages for path in (ROOT / package).rglob("*.py")
    )


def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def imported(path: str) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every import, wherever in the file it stands."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name.partition(".")[0]) for alias in names)
            case ast.ImportFrom(module=module, level=0) if module:
                yield node.lineno, module.partition(".")[0]
            case ast.ImportFrom(level=level) if level:
                yield node.lineno, "a relative import"


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_follow_the_arrows(package: str) -> None:
    wrong = []
    for path in sources(package):
        allowed = MAY_IMPORT[package] | {package} | ALSO.get(path, set())
        wrong += [
            f"{path}:{line} imports {name}"
            for line, name in imported(path)
            if name == "a relative import" or (name in OURS and name not in allowed)
        ]

    assert wrong == []


def test_only_the_queen_talks_to_the_database() -> None:
    wrong = [
        f"{path}:{line} imports {name}"
        for path in sources("hive", "shared", "cli")
        for line, name in imported(path)
        if name in {"sqlalchemy", "sqlmodel", "alembic", "psycopg"}
    ]

    assert wrong == []


def test_a_domain_function_knows_neither_celery_nor_redis() -> None:
    wrong = [
        f"{path}:{line} imports {name}"
        for path in sources("hive")
        if path.startswith(("hive/operations/", "hive/vendors/", "hive/download/", "hive/probes/"))
        for line, name in imported(path)
        if name in {"celery", "kombu", "redis"}
    ]

    assert wrong == []


def test_no_file_is_longer_than_three_screens() -> None:
    long = {path: lines for path in sources(*PACKAGES) if (lines := _lines(path)) > MAX_LINES}

    assert long == {}


def test_every_file_is_named_for_a_noun() -> None:
    assert [path for path in sources(*OURS) if Path(path).stem in NAMELESS] == []


def test_a_wide_except_stands_only_where_it_is_listed_with_its_reason() -> None:
    found: dict[str, int] = {}
    for path in sources(*PACKAGES):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler) and _is_wide(node) and not _raises_again(node):
                found[path] = found.get(path, 0) + 1

    assert found == dict.fromkeys(WIDE_EXCEPT, 1)


def test_every_operation_has_its_work_a_lane_and_a_title() -> None:
    assert set(OPERATIONS) == set(WORK)
    for name, operation in OPERATIONS.items():
        params = {field: f"<{field}>" for field in operation.params.model_fields}
        assert operation.name == name
        assert operation.lane in LANE_WIDTHS
        assert operation.title(params) != operation.words, "the title names what it is about"
        assert operation.resource(params)
        assert WORK[name].__module__ == f"hive.operations.{name}"
    assert set(LANE_WIDTHS) == set(Lane)


def test_every_public_module_says_what_it_is() -> None:
    silent = [path for path in sources(*PACKAGES) if _lines(path) and not ast.get_docstring(tree(path))]

    assert silent == []


def _lines(path: str) -> int:
    return len((ROOT / path).read_text().splitlines())


def _is_wide(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in kinds
    )


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether it only tidies up: its last statement is a bare `raise`."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None
