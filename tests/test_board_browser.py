"""The board in headless Chromium: numbers, filters and their address, exports, both themes, wide and narrow."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from db.store import Store
from tests.browser import chromium, serving, settle
from tests.conftest import ROOT, Bench
from tests.grids import Grid, read
from tests.synthetic import fill

BOARD = ("leaderboard", "--suite", "quick-v1", "--budget", "10k")
SHOWN = ("Architecture", "gru", "lstm")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
THERE_ARE_OTHER_PAGES = (ROOT / "leaderboard_app" / "pages" / "architecture.py").exists()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("board"))
    store = Store(str(bench.db))
    fill(store, models=["fru", "s5", "gru", "lstm", "mamba"], tiers=("10k", "100k"), curves=20)
    fill(store, models=["sru"], seeds=3)
    return bench


@pytest.fixture(scope="module")
def address(filled: Bench) -> Iterator[str]:
    with serving(filled) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The first view, in which nothing may go wrong unseen."""
    with watched(browser, WIDE) as page:
        page.goto(address)
        settle(page)
        yield page


class watched:
    """A page that fails the test if its scripts fail, in the browser or on the server."""

    def __init__(self, browser: Browser, size: dict[str, int], theme: str = "light") -> None:
        context = browser.new_context(viewport=size, color_scheme=theme, accept_downloads=True)  # type: ignore[arg-type]
        self.page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            assert self.page.get_by_test_id("stException").count() == 0
            assert self.errors == []
        self.page.context.close()


def table(page: Page) -> Grid:
    (shown,) = read(page.get_by_role("table", name="The entries, best first").evaluate("table => table.outerHTML"))
    return shown


def menu(page: Page, name: str) -> Locator:
    return page.get_by_test_id("stPopoverButton").filter(has_text=name)


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_the_numbers_are_those_of_the_command_line(page: Page, filled: Bench) -> None:
    rows = filled.json(*BOARD)
    shown = table(page)
    assert shown.names() == [row["model"] for row in rows]
    assert shown.numbers("score") == pytest.approx([row["score"] for row in rows], abs=0.05)
    assert shown.numbers("parameters") == [round(row["params"]) for row in rows]
    assert shown.columns["95% interval"] == [f"{row['score_low']:.1f} – {row['score_high']:.1f}" for row in rows]
    best = rows[0]
    claim = f"{best['model']} scores highest at 10k parameters: {best['score']:.1f} of 100"
    expect(page.get_by_role("heading", name=claim)).to_be_visible()
    assert query(page) == {"suite": ["quick-v1"], "tier": ["10k"]}


def test_filters_answer_and_the_address_keeps_them(page: Page, browser: Browser) -> None:
    page.get_by_role("searchbox").fill("gated")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 of 6 entries")).to_be_visible()
    page.get_by_role("radio", name="100k", exact=True).click()
    expect(page.get_by_text("2 of 5 entries")).to_be_visible()
    menu(page, "Columns").click()
    page.get_by_text("Each task's score").click()
    page.keyboard.press("Escape")
    settle(page)
    assert query(page) == {"suite": ["quick-v1"], "tier": ["100k"], "q": ["gated"], "tasks": ["true"]}
    shown = table(page)
    assert shown.names() == ["gru", "lstm"] or shown.names() == ["lstm", "gru"]
    assert {"digits", "mix-sin"} <= shown.columns.keys()
    with watched(browser, WIDE) as again:
        again.goto(page.url)
        settle(again)
        assert table(again) == shown
        assert query(again) == query(page)
    menu(page, "Filters").click()
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_text("2 of 5 entries")).to_be_hidden()
    assert "q" not in query(page)


def download(page: Page, label: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label).click()
    return Path(waiting.value.path()).read_bytes()


def test_exports_honour_the_filters(page: Page, filled: Bench) -> None:
    page.get_by_role("searchbox").fill("gated")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 of 6 entries")).to_be_visible()
    menu(page, "Export").click()
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(download(page, "Table as CSV").decode()))}
    every = csv.DictReader(io.StringIO(filled(*BOARD, "--csv").stdout))
    assert rows == {row["model"]: row for row in every if row["model"] in ("gru", "lstm")}
    latex = download(page, "Table as LaTeX").decode().splitlines()
    assert [
        line for line in filled(*BOARD, "--latex").stdout.splitlines() if "& gru &" in line or "& lstm &" in line
    ] == [line for line in latex if " & " in line and "Rank" not in line]
    papers = download(page, "Papers as BibTeX").decode()
    assert papers.count("@misc{") == 2
    assert "@misc{lstm1997," in papers
    png = download(page, "Chart as PNG")
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) > 1_500
    svg = ET.fromstring(download(page, "Chart as SVG"))
    said = [text for element in svg.iter() if element.tag.endswith("text") and (text := element.text)]
    assert "quick-v1 Score against parameters" in said
    assert {"gru", "lstm"} & set(said)
    assert not {"fru", "s5", "mamba"} & set(said)


def test_equal_time_has_an_address_too(page: Page) -> None:
    page.get_by_role("radio", name="training time", exact=True).click()
    expect(page.get_by_role("heading", name="of training on AMD EPYC 7B13, 2 threads")).to_be_visible()
    settle(page)
    assert query(page)["equal"] == ["training time"]
    assert query(page)["machine"] == ["AMD EPYC 7B13, 2 threads"]
    assert "tier" not in query(page)
    page.get_by_role("radio", name="parameters", exact=True).click()
    expect(page.get_by_role("heading", name="scores highest at 10k parameters")).to_be_visible()
    settle(page)
    assert query(page) == {"suite": ["quick-v1"], "tier": ["10k"]}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_readable_in_both_themes_and_at_both_widths(
    browser: Browser, address: str, size: dict[str, int], theme: str, tmp_path: Path
) -> None:
    with watched(browser, size, theme) as page:
        page.goto(address)
        settle(page)
        expect(page.get_by_test_id("stVegaLiteChart").nth(1).locator("canvas, svg").first).to_be_visible()
        background = page.get_by_test_id("stApp").evaluate("app => getComputedStyle(app).backgroundColor")
        brightness = sum(json.loads(background.replace("rgb(", "[").replace(")", "]")))
        assert (brightness > 600) == (theme == "light")
        # Nothing but the table scrolls sideways.
        assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
        for chart in page.get_by_test_id("stVegaLiteChart").all():
            box = chart.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= size["width"]
        page.screenshot(path=tmp_path / "board.png")
    assert (tmp_path / "board.png").stat().st_size > 20_000


needs_the_other_pages = pytest.mark.skipif(not THERE_ARE_OTHER_PAGES, reason="there are no other pages yet")


@needs_the_other_pages
def test_from_the_board_to_an_architecture_to_a_run(page: Page, filled: Bench) -> None:
    best = filled.json(*BOARD)[0]["model"]
    page.get_by_role("table").get_by_role("link", name=best, exact=True).click()
    page.wait_for_url(f"**/architecture?name={best}")
    settle(page)
    expect(page.get_by_role("heading", name=best).first).to_be_visible()


@needs_the_other_pages
def test_a_click_on_a_mark_opens_its_architecture(page: Page) -> None:
    mark = page.get_by_test_id("stVegaLiteChart").nth(1).locator(".mark-symbol path").first
    label = mark.get_attribute("aria-label")
    mark.click()
    page.wait_for_url("**/architecture?name=*")
    settle(page)
    assert f"model: {query(page)['name'][0]};" in (label or "")
    page.go_back()
    expect(page.get_by_role("heading", name="scores highest")).to_be_visible()
    settle(page)
    assert query(page)["tier"] == ["10k"]


@needs_the_other_pages
def test_entries_are_set_side_by_side(page: Page, filled: Bench) -> None:
    first, second = (row["model"] for row in filled.json(*BOARD)[:2])
    menu(page, "Compare").click()
    page.get_by_role("combobox", name="Two to 4 entries").click()
    page.get_by_role("option", name=first, exact=True).click()
    page.get_by_role("option", name=second, exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Set them side by side").click()
    page.wait_for_url("**/compare?*")
    settle(page)
    assert query(page)["suite"] == ["quick-v1"]
    assert [entry.split()[0] for entry in query(page)["entries"]] == [first, second]
