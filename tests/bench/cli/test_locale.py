"""The command line where the locale has few letters, and files, which are UTF-8 everywhere."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Bench

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LATIN_1 = {"PYTHONIOENCODING": "latin-1"}
PACKAGES = ("bench", "models", "datamodules", "db", "leaderboard_app", "benchmarks")
TEXT_CALLS = {"open", "read_text", "write_text", "fdopen", "NamedTemporaryFile", "TemporaryFile"}
OTHER_OPENERS = ("wave", "tarfile", "zipfile", "gzip", "os")
"""Modules whose `open` has no text mode, or takes no encoding."""

Writer = Callable[[str, str], Path]


@pytest.fixture
def poor_bench(shared_bench: Bench, tmp_path: Path) -> Bench:
    """`shared_bench`'s results, for commands in an ASCII locale."""
    bench = Bench(tmp_path)
    bench.env |= {"BENCH_DB": str(shared_bench.db), **ASCII}
    return bench


def printed(bench: Bench, *words: str) -> str:
    """What a command prints, each byte as one letter."""
    command = [sys.executable, "-m", "bench", *words]
    done = subprocess.run(command, env=os.environ | bench.env, cwd=ROOT, capture_output=True)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()
    return done.stdout.decode("latin-1")


def test_a_terminal_that_lacks_a_letter_shows_another(poor_bench: Bench) -> None:
    assert "?" in printed(poor_bench, "leaderboard")
    poor_bench.env |= LATIN_1
    assert "?" in printed(poor_bench, "tasks", "--csv")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", [{}, LATIN_1], ids=["ascii", "latin-1"])
def test_every_listing_is_printed(poor_bench: Bench, encoding: dict[str, str]) -> None:
    poor_bench.env |= encoding
    run = json.loads(printed(poor_bench, "runs", "--json"))[0]["run_id"]
    commands = [
        ["--help"], ["run", "--help"], ["models"], ["models", "--budget", "10k"], ["tasks"], ["tasks", "mix-sin"],
        ["suites"], ["runs"], ["leaderboard", "--latex"], ["leaderboard", "--csv"],
        ["leaderboard", "--suite", "quick-v1"], ["show", run], ["studies"],
    ]  # fmt: skip
    texts = [printed(poor_bench, *words) for words in commands]
    assert encoding == LATIN_1 or all(map(str.isascii, texts))


@pytest.mark.slow
def test_json_has_every_letter(poor_bench: Bench) -> None:
    found = json.loads(printed(poor_bench, "tasks", "--json"))
    assert not json.dumps(found, ensure_ascii=False).isascii()


def test_a_failure_told_in_other_letters_is_recorded(bench: Bench, write_model: Writer) -> None:
    path = write_model("mine", "raise ValueError('|λ| must be < 1 — não estável')")
    bench.env |= ASCII
    process = bench.start("run", "--model", str(path), "--epochs", "1", "--json")
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 1, stderr
    assert "|λ| must be < 1 — não estável" in json.loads(stdout)["reason"]
    (told,) = bench.folder.rglob("error.txt")
    assert "não estável" in told.read_text("utf-8")


def test_each_file_is_opened_as_utf_8() -> None:
    """The locale's encoding is another one on another machine."""
    calls = [(path, call) for path in sources() for call in text_calls(ast.parse(path.read_text("utf-8")))]
    assert len(calls) > 20
    assert [f"{path}:{call.lineno}" for path, call in calls if not says_encoding(call)] == []


def sources() -> Iterator[Path]:
    return (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def text_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls that open a file, or a child's pipes, as text."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        keywords = {each.arg for each in node.keywords}
        as_text = name in {"run", "Popen", "check_output"} and {"text", "universal_newlines"} & keywords
        if as_text or (name in TEXT_CALLS and not is_binary(node)):
            yield node


def is_binary(call: ast.Call) -> bool:
    owner = getattr(call.func, "value", None)
    if isinstance(owner, ast.Name) and owner.id in OTHER_OPENERS and call.func.attr == "open":
        return True
    values = [*call.args, *(each.value for each in call.keywords if each.arg == "mode")]
    modes = [each.value for each in values if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    temporary = getattr(call.func, "attr", getattr(call.func, "id", "")).endswith("TemporaryFile")
    return any("b" in mode and len(mode) <= 3 for mode in modes) or (temporary and not modes)


def says_encoding(call: ast.Call) -> bool:
    given = [each.value for each in call.keywords if each.arg == "encoding"] + call.args[:1]
    return any(isinstance(each, ast.Constant) and each.value == "utf-8" for each in given)
