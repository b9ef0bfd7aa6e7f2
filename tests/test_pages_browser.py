"""Every page in a browser, wide and narrow: no errors, nothing wider than the screen, foreign text is text."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from db.store import Store
from leaderboard_app.links import page_url
from tests.browser import chromium, serving
from tests.conftest import Bench
from tests.pages import HOSTILE, one_run, probes, settle, small
from tests.test_page_studies import NAME, make


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The app's address, and an address for each page with everything on it."""
    db = tmp_path_factory.mktemp("served") / "board.sqlite"
    store = small(db)
    run = next(run for run in store.runs(model="fru") if run.task == "copy-100")
    for data in probes(run.run_id):
        store.add_event(run, "probe", "", data)
    store.add_event(run, "verified", "scored again", {"rung": "rescored"})
    make(db, direction="maximize")
    make(db, "two objectives", directions=["maximize", "minimize"])
    entries = ["fru plain 10k defaults", "lstm plain 10k defaults", "fru plain 100k defaults"]
    pages = {
        "task": page_url("task", name="digits"),
        "tasks": page_url("task"),
        "architecture": page_url("architecture", name="fru"),
        "architectures": page_url("architecture"),
        "compare": page_url("compare", suite="quick-v1", entries=entries),
        "run": page_url("run", id=run.run_id),
        "runs": page_url("run"),
        "study": page_url("studies", name=NAME),
        "front": page_url("studies", name="two objectives"),
        "hostile run": page_url("run", id="bad0000000000001"),
        "hostile architecture": page_url("architecture", name=HOSTILE),
    }
    with serving(Bench(db.parent)) as address:
        yield address, pages


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_every_page(served: tuple[str, dict[str, str]], browser: Browser, tmp_path: Path) -> None:
    address, pages = served
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
    for name, path in pages.items():
        page.set_viewport_size({"width": 1280, "height": 1_000})
        page.emulate_media(color_scheme="light")
        page.goto(f"{address}/{path}")
        looks_right(page, tmp_path / f"{name} 1280.png")
        page.set_viewport_size({"width": 390, "height": 1_000})
        page.emulate_media(color_scheme="dark")
        looks_right(page, tmp_path / f"{name} 390.png")
    assert errors == []
    page.close()


def looks_right(page: Page, picture: Path) -> None:
    settle(page)
    assert page.locator("[data-testid=stException]").count() == 0, picture.stem
    main = "document.querySelector('[data-testid=stMain]')"
    wide = page.evaluate(f"() => {main}.scrollWidth - {main}.clientWidth")
    assert wide <= 0, f"{picture.stem} is {wide} pixels wider than the screen"
    assert page.locator("img[src=x], a[href^=javascript], .katex").count() == 0, picture.stem
    assert page.screenshot(path=picture, full_page=True)


def test_a_link_leads_to_the_view_that_it_names(served: tuple[str, dict[str, str]], browser: Browser) -> None:
    address, pages = served
    page = browser.new_page(viewport={"width": 1280, "height": 1_000})
    page.goto(f"{address}/{pages['run']}")
    settle(page)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="copy-100", exact=True).first.click()
    task = opened.value
    settle(task)
    assert task.url.startswith(f"{address}/task?name=copy-100")
    expect(task.get_by_role("heading", name="copy-100", exact=True)).to_be_visible()
    task.get_by_test_id("stButtonGroup").get_by_text("100k", exact=True).click()
    settle(task)
    assert "tier=100k" in task.url, "the address reproduces the view"
    task.reload()
    settle(task)
    assert "tier=100k" in task.url
    page.close()


def test_new_results_show_without_a_restart(bench: Bench, browser: Browser) -> None:
    store = Store(str(bench.db))
    with serving(bench) as address:
        page = browser.new_page()
        page.goto(f"{address}/run")
        settle(page)
        expect(page.get_by_text("No runs yet")).to_be_visible()
        store.record(one_run("a1b2c3d4e5f60718"))
        page.goto(f"{address}/run?id=a1b2")
        settle(page)
        expect(page.get_by_role("heading", name="fru on digits, seed 0")).to_be_visible()
        page.close()
