"""The app: through Streamlit's AppTest, and once in a real browser."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect, sync_playwright
from streamlit.testing.v1 import AppTest

from db.store import Store
from tests.conftest import ROOT, Bench

APP = str(ROOT / "leaderboard_app" / "app.py")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Without these, Chromium asks for hosts of its maker's at every start.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(autouse=True)
def restored_main() -> Iterator[None]:
    """AppTest puts the app in the place of `__main__`, which processes that are spawned later would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


def open_app(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("BENCH_DB", str(bench.db))
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert not app.exception
    return app


def test_the_table_agrees_with_the_command_line(shared_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(shared_bench, monkeypatch)
    table = app.dataframe[0].value
    rows = shared_bench.json("leaderboard")
    assert list(table["architecture"]) == [row["model"] for row in rows]
    assert list(table["score"]) == pytest.approx([row["score"] for row in rows])
    assert list(table["parameters"]) == [row["params"] for row in rows]
    assert list(table["seeds"]) == [2, 1]
    assert list(table["status"]) == ["2 finished", "1 diverged"]


def test_filters_and_the_chosen_run(shared_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(shared_bench, monkeypatch)
    assert app.selectbox(key="task").options == ["digits"]
    assert app.selectbox(key="tier").options == ["all", "no tier"]
    app.selectbox(key="tier").select("no tier").run()
    assert len(app.dataframe[0].value) == 2
    newest, *_, oldest = app.selectbox(key="run").options
    assert newest.startswith("fru · no tier · seed 0 · diverged")
    assert any("diverged: " in warning.value for warning in app.warning)
    app.selectbox(key="run").select(oldest).run()
    assert not app.exception
    assert not app.warning
    assert "--model gru" in app.code[0].value


def test_an_empty_database(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench("db", "upgrade")
    app = open_app(bench, monkeypatch)
    assert "No runs yet" in app.info[0].value
    assert "python -m bench run --model fru" in app.info[0].value


def test_no_database(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(bench, monkeypatch)
    assert "there is no database at" in app.error[0].value
    assert not bench.db.exists()


def test_new_runs_show_without_a_restart(shared_bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    source, target = Store(str(shared_bench.db)), Store(str(bench.db))
    with source._engine.connect() as old, target._engine.begin() as new:
        rows = old.exec_driver_sql("SELECT * FROM runs").fetchall()
        marks = ",".join("?" * len(rows[0]))
        insert = f"INSERT INTO runs VALUES ({marks})"
        new.exec_driver_sql(insert, tuple(rows[0]))
    app = open_app(bench, monkeypatch)
    assert list(app.dataframe[0].value["seeds"]) == [1]
    with target._engine.begin() as new:
        new.exec_driver_sql(insert, tuple(rows[1]))
    app.run()
    assert list(app.dataframe[0].value["seeds"]) == [2]


def test_a_port_that_is_taken(shared_bench: Bench) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"can't listen on 127.0.0.1:{port}" in shared_bench.refused("app", "--port", str(port))


@pytest.fixture
def served(shared_bench: Bench) -> Iterator[str]:
    """The address of the app, started as a user starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = shared_bench.start("app", "--port", str(port))
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(address, process)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def wait_until_healthy(address: str, process: subprocess.Popen[str]) -> None:
    for _ in range(300):
        assert process.poll() is None, process.communicate()
        try:
            with urlopen(f"{address}/_stcore/health") as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} did not answer")


def test_in_a_browser(served: str, shared_bench: Bench, tmp_path: Path) -> None:
    assert CHROMIUM, "the app is tested in Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(served)
        expect(page.get_by_role("heading", name="Which sequence model remembers?")).to_be_visible(timeout=60_000)
        expect(page.get_by_role("heading", name="Learning curves")).to_be_visible()
        expect(page.get_by_text(re.compile("^diverged: "))).to_be_visible()
        page.wait_for_selector("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")
        page.screenshot(path=tmp_path / "board.png", full_page=True)
        assert page.locator("[data-testid=stException]").count() == 0
        assert errors == []
        browser.close()
    assert (tmp_path / "board.png").stat().st_size > 20_000
