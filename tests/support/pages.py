"""Pages of the app opened one by one with AppTest, and made-up databases with all that happens to runs."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

from streamlit.testing.v1 import AppTest

from db.schema import Run
from db.store import Store
from leaderboard_app.widgets.text import plain
from tests.conftest import ROOT
from tests.support.runs import make_run
from tests.support.synthetic import fill, synthetic_runs

HOSTILE = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) $\\int$ :red[x] **b** `c` | :material/home:"
TEXTS = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error")


def open_page(page: str, db: Path, /, **query: str | list[str]) -> AppTest:
    """A page as its address asks for it."""
    app = AppTest.from_file(str(ROOT / "leaderboard_app" / "views" / page / "page.py"), default_timeout=120)
    app.query_params.update(query)
    return run(app, db)


def run(app: AppTest, db: Path) -> AppTest:
    main = sys.modules["__main__"]  # AppTest puts the page in its place, which processes spawned later would run
    try:
        with patch.dict(os.environ, {"BENCH_DB": str(db)}):
            app.run()
    finally:
        sys.modules["__main__"] = main
    assert not app.exception, [each.message for each in app.exception]
    return app


def texts(app: AppTest) -> list[str]:
    """Everything on a page that is read as Markdown."""
    found = [each.value for kind in TEXTS for each in app.get(kind)]
    found += [each.label for each in (*app.expander, *app.metric)]
    return found + [str(cell) for each in app.table for cell in (*each.value.columns, *each.value.to_numpy().ravel())]


def said(app: AppTest) -> str:
    """The same in one text, without the backslashes of escaping."""
    return "\n".join(texts(app)).replace("\\", "")


def facts(app: AppTest) -> dict[str, str]:
    """The two-column tables of a page, unescaped."""
    tables = [each.value for each in app.table if list(each.value.columns) == ["what", "value"]]
    rows = [row for each in tables for row in each.to_numpy().tolist()]
    return {name.replace("\\", ""): value.replace("\\", "") for name, value in rows}


def assert_escaped(app: AppTest) -> None:
    """The hostile text is there, and nowhere is it more than text."""
    shown = texts(app)
    assert any(plain(HOSTILE) in text for text in shown)
    for text in shown:
        rest = text.replace(plain(HOSTILE), "")
        for mark in ("<img", "](javascript", "$\\int", ":red[", "**b**", ":material/home"):
            assert not re.search(rf"(?<!\\){re.escape(mark)}", _without_code(rest)), text


def _without_code(text: str) -> str:
    """Without what stands between backticks, where nothing has a meaning."""
    return "".join(text.split("`")[::2]) if text.count("`") % 2 == 0 else text


def small(path: Path) -> Store:
    """Five architectures on quick-v1 at two tiers, one from a file; events and probes; a hostile submission."""
    store = Store(str(path))
    fill(store, tiers=("10k", "100k"), curves=40)
    fill(store, models=("mine@1234abcd",))
    for seed, values in enumerate(synthetic_runs(("model-h",), "quick-v1", ("10k",), 2)):
        store.record(Run(**values | hostile(seed)))
    return store


def one_run(run_id: str = "0123456789abcdef", **changes: Any) -> Run:
    """A run of the FRU on digits that no suite includes."""
    return make_run(run_id, **{"config": {"model": {"size": 3}, "wrapper": {}, "training": {"lr": 0.1}}} | changes)


def hostile(number: int) -> dict[str, Any]:
    """Columns of a run whose author means harm."""
    return {
        "run_id": f"bad{number:013x}", "model": HOSTILE, "reason": HOSTILE, "status": "failed", "metric_value": None,
        "command": f"python -m bench run --model fru; {HOSTILE}",
        "config": {"model": {HOSTILE: HOSTILE}, "wrapper": {}, "training": {"max_steps": 1_000}},
        "config_source": {HOSTILE: "flag"},
        "environment": {"cpu": HOSTILE, HOSTILE: HOSTILE, "packages": {HOSTILE: HOSTILE}},
        "facts": {"splits": {HOSTILE: HOSTILE}, "task": {}, "model": {HOSTILE: HOSTILE}},
    }  # fmt: skip


def large(path: Path) -> Store:
    """Ten thousand runs, written at once: fifty architectures in two suites and all tiers, five seeds each."""
    store = Store(str(path))
    models = ["fru", "gru", *(f"model-{index}" for index in range(48))]
    suites = {"long-v2": ("10k", "100k", "1M"), "quick-v1": ("10k", "100k"), "lra-v2": ("1M",)}
    rows = chain.from_iterable(synthetic_runs(models, suite, tiers, 5) for suite, tiers in suites.items())
    with store._session() as session:
        session.add_all(Run(**values) for values in islice(rows, 10_000))
    return store


def probes(run_id: str) -> Iterator[Mapping[str, Any]]:
    """One of each kind, as `bench.probe` says."""
    backs = [0, 1, 2, 4, 8, 16, 32, 64, 119]
    yield {
        "probe": "gradient-flow", "task": "copy-100", "trained_at": 120, "samples": 4, "lengths": [120],
        "measured": [
            {"when": when, "length": 120, "steps_back": backs, "input": [1e-2 * decay**back for back in backs],
             "initial_state": 3e-4, "state_gain": {"low": 0.7, "mean": 0.9, "high": 1.2},
             "bounds": {"sigma": 0.4, "lower": 0.45, "upper": 1.5, "note": "Theorem 3"}}
            for when, decay in (("initialisation", 0.9), ("trained", 0.98))
        ],
    }  # fmt: skip
    yield {
        "probe": "dependency-length", "family": "copy", "threshold": 0.9, "seeds": [0], "training": "3000 steps",
        "rungs": [{"task": "copy-100", "length": 120, "utility": 0.97, "solved": True, "run_ids": [run_id]},
                  {"task": "copy-200", "length": 220, "utility": 0.31, "solved": False, "run_ids": []}],
        "longest_solved": 120, "first_unsolved": 220,
    }  # fmt: skip
    yield {
        "probe": "length-extrapolation", "task": "copy-100", "trained_at": 120, "samples": 500, "metric": "accuracy",
        "lengths": [{"length": 120, "factor": 1, "value": 0.99, "utility": 0.98},
                    {"length": 240, "factor": 2, "value": 0.61, "utility": 0.55}],
    }  # fmt: skip
    yield {
        "probe": "training-length", "task": "copy-100", "threshold": 0.9, "seeds": [0, 1],
        "rungs": [{"factor": 1, "training": "3000 steps", "seconds": 15.2, "utility": 0.1, "solved": False,
                   "run_ids": [run_id]},
                  {"factor": 2, "training": "6000 steps", "seconds": 30.9, "utility": 0.95, "solved": True,
                   "run_ids": []}],
        "solved_at": 2,
    }  # fmt: skip
