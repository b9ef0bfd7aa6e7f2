"""Where code is, and which way imports point: lazy ones and those for types alone count too.

datamodules → models → bench → leaderboard_app; db and datamodules import none of ours. Inside, packages are in layers.
And a command imports only what it needs.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from bench.catalog.registry import find_model, model_names
from tests.conftest import ROOT, Bench

MAY_IMPORT = {
    "datamodules": set(),
    "db": set(),
    "models": {"datamodules"},
    "bench": {"datamodules", "models", "db", "leaderboard_app"},  # leaderboard_app only to start or write it: see below
    "leaderboard_app": {"bench", "db"},
}
LAYERS = {
    "bench": [
        "common", "catalog", "runs bundle ranking", "reports speed reproduce", "training",
        "tuning submissions contributing probe", "audit publishing", "cli", "from_python", "__init__ __main__",
    ],
    "models": ["kernels", "shared", "recurrences", "ARCHITECTURES"],
    "leaderboard_app": ["data", "widgets", "views", "app asgi server streamlit_process site"],
}  # fmt: skip
"""Lower layers first. A package or module imports only from lower layers; those of one layer import none of another."""
FILES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


@cache
def imported_modules(path: Path) -> set[str]:
    """Each module that a file imports, anywhere in it. `from a import b` counts as a.b where that is a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.update(module_of(f"{node.module}.{alias.name}") for alias in node.names)
    return names


def arrows() -> list[tuple[str, str]]:
    """Each module of ours and each of ours that it imports."""
    return [
        (module_name(path), name) for path in FILES for name in imported_modules(path) if top_of(name) in MAY_IMPORT
    ]


def top_of(name: str) -> str:
    return name.partition(".")[0]


def module_of(name: str) -> str:
    place = ROOT.joinpath(*name.split("."))
    return name if place.is_dir() or place.with_suffix(".py").exists() else name.rpartition(".")[0]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(name: str) -> str:
    """The package or module right below the top-level folder; one word for all architectures."""
    top, _, rest = name.partition(".")
    part = rest.partition(".")[0] or "__init__"
    is_architecture = top == "models" and (ROOT / top / f"{part}.py").exists() and part != "__init__"
    return "ARCHITECTURES" if is_architecture else part


def layer_of(name: str) -> int:
    layers = LAYERS[name.partition(".")[0]]
    found = [i for i, parts in enumerate(layers) if part_of(name) in parts.split()]
    assert found, f"{name} is in none of the layers {layers}: place it"
    return found[0]


def test_no_arrow_points_backwards() -> None:
    for importer, name in arrows():
        package = top_of(importer)
        assert top_of(name) in {package, *MAY_IMPORT[package]}, f"{importer} imports {name}"


def test_layers_import_from_lower_ones_only() -> None:
    inside = [
        (a, b) for a, b in arrows() if top_of(a) == top_of(b) and top_of(a) in LAYERS and part_of(a) != part_of(b)
    ]
    assert len(inside) > 500
    for importer, name in inside:
        assert layer_of(name) < layer_of(importer), f"{importer} imports {name}, which is not below it"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module_name(path): imported_modules(path) for path in FILES}
    order = TopologicalSorter({name: imported & graph.keys() - {name} for name, imported in graph.items()})
    assert len(list(order.static_order())) == len(graph)


def test_no_page_imports_another() -> None:
    pages = [path for path in (ROOT / "leaderboard_app" / "views").iterdir() if (path / "page.py").exists()]
    assert len(pages) >= 7
    for page in pages:
        for path in page.rglob("*.py"):
            views = {name.split(".")[2] for name in imported_modules(path) if name.startswith("leaderboard_app.views.")}
            assert views <= {page.name}, path


@pytest.mark.parametrize(
    ("folder", "modules"),
    [
        ("bench", {"__init__", "__main__"}),
        ("models", {"__init__", *(name.replace("-", "_") for name in model_names())}),
        ("leaderboard_app", {"__init__", "app", "asgi", "data", "server", "streamlit_process"}),
        ("tests", {"__init__", "conftest", "test_layout"}),
    ],
)
def test_every_module_has_its_place(folder: str, modules: set[str]) -> None:
    """A module beside the packages is one that nobody placed; models/ holds architectures alone."""
    assert {path.stem for path in (ROOT / folder).glob("*.py")} == modules


@pytest.mark.parametrize("name", model_names())
def test_what_is_in_models_is_an_architecture(name: str) -> None:
    assert find_model(name).path.parent == ROOT / "models"


def test_a_package_says_what_is_in_it_and_imports_nothing() -> None:
    offers = ROOT / "bench" / "__init__.py"  # what docs/python.md describes; a test looks at what it imports
    packages = [path for path in FILES if path.name == "__init__.py" and path != offers]
    assert len(packages) > 30
    for path in packages:
        tree = ast.parse(path.read_text("utf-8"))
        assert len(tree.body) == 1, f"{path} holds more than a docstring"
        assert re.fullmatch(r".+\.", ast.get_docstring(tree) or ""), f"{path} has no sentence on one line"


def test_every_folder_of_code_is_a_package() -> None:
    """The sandbox takes packages only, and wheels too."""
    folders = {path.parent for path in FILES if "migrations" not in path.parts}
    assert len(folders) > 30
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_models_know_tasks_by_their_description_only() -> None:
    paths = list((ROOT / "models").rglob("*.py"))
    assert ROOT / "models" / "shared" / "lightning_module.py" in paths
    for path in paths:
        from_tasks = {name for name in imported_modules(path) if name.startswith("datamodules")}
        known = {"datamodules._spec"} | ({"datamodules._base"} if path.stem == "lightning_module" else set())
        assert from_tasks <= known, path


def test_the_harness_imports_the_app_only_to_start_it_or_to_write_it_as_pages() -> None:
    users = [
        p for p in (ROOT / "bench").rglob("*.py") if any(n.startswith("leaderboard_app") for n in imported_modules(p))
    ]
    assert sorted(str(path.relative_to(ROOT)) for path in users) == ["bench/cli/board.py", "bench/cli/site.py"]


def test_every_architecture_is_held_against_its_paper() -> None:
    """The FRU and the SRU by vectors of the authors' code."""
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "papers").glob("test_*.py")}
    tested -= {"golden", "golden_starts"}
    assert len(tested) > 15
    assert tested | {"fru", "sru"} == {name.replace("-", "_") for name in model_names()}


def test_the_type_checker_knows_each_triton_module() -> None:
    """mypy says nothing of a module in its list that is not there."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["overrides"]
    (lenient,) = (set(each["module"]) for each in overrides if "disallow_untyped_defs" in each)
    assert lenient == set(triton_modules())


def triton_modules() -> Iterator[str]:
    """The modules whose functions Triton compiles."""
    for path in (ROOT / "models").rglob("*.py"):
        if "@triton.jit" in path.read_text("utf-8"):
            yield module_name(path)


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
