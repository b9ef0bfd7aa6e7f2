"""Imports point one way: datamodules → models → bench → leaderboard_app; db and datamodules import none of ours.

And a command imports only what it needs.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Bench

MAY_IMPORT = {
    "datamodules": set(),
    "db": set(),
    "models": {"datamodules"},
    "bench": {"datamodules", "models", "db", "leaderboard_app"},  # leaderboard_app only to start it: see below
    "leaderboard_app": {"bench", "db"},
}
FILES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_arrow_points_backwards(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    ours = {name.partition(".")[0] for name in imported_modules(path)} & MAY_IMPORT.keys()
    assert ours <= MAY_IMPORT[package] | {package}


def test_models_know_tasks_by_their_description_only() -> None:
    for path in (ROOT / "models").glob("*.py"):
        from_tasks = {name for name in imported_modules(path) if name.startswith("datamodules")}
        assert (
            from_tasks <= {"datamodules._spec", "datamodules._base"}
            if path.stem == "_module"
            else {"datamodules._spec"}
        )


def test_the_harness_imports_the_app_only_to_start_it() -> None:
    users = [
        p for p in (ROOT / "bench").rglob("*.py") if any(n.startswith("leaderboard_app") for n in imported_modules(p))
    ]
    assert [str(path.relative_to(ROOT)) for path in users] == ["bench/cli/board.py"]


def test_every_architecture_is_held_against_its_paper() -> None:
    """The FRU and the SRU by vectors of the authors' code."""
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "faithful").glob("test_*.py")}
    assert tested | {"fru", "sru"} == {path.stem for path in (ROOT / "models").glob("[!_]*.py")}


@pytest.mark.parametrize(
    ("words", "imported"),
    [(["--help"], []), (["runs"], ["sqlalchemy"]), (["leaderboard", "--budget", "10k"], ["sqlalchemy"]),
     (["leaderboard", "--suite", "quick-v1", "--budget", "10k"], ["sqlalchemy"])],
)  # fmt: skip
def test_only_what_a_command_needs_is_imported(shared_bench: Bench, words: list[str], imported: list[str]) -> None:
    command, env = [sys.executable, "-c", SHOW_IMPORTS, *words], os.environ | shared_bench.env
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    assert done.stdout.splitlines()[-1] == f"imported: {imported}"


SHOW_IMPORTS = """
import sys
try:
    from bench.__main__ import main
    main()
finally:
    print("imported:", [name for name in ("torch", "lightning", "sqlalchemy", "streamlit") if name in sys.modules])
"""
