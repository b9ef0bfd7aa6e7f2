"""The app in headless Chromium: numbers, the way from the board to a run, filters, exports, and how every page looks.

`--screenshots FOLDER` keeps the pictures of every page, wide and narrow, light and dark, for a person to look at.
"""

import csv
import io
import json
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from bench.catalog.names import display_name
from db.store import Store
from leaderboard_app.widgets.links import page_url
from tests.conftest import Bench
from tests.leaderboard_app.views.test_studies import NAME, make
from tests.leaderboard_app.views.test_submit import members  # noqa: F401
from tests.support.browser import chromium, serving, settle
from tests.support.bundles import Members, write
from tests.support.grids import Grid, read
from tests.support.pages import HOSTILE, one_run, probes
from tests.support.synthetic import fill

BOARD = ("leaderboard", "--suite", "quick-v1", "--budget", "10k")
WIDTHS, THEMES = (1280, 390), ("light", "dark")
HEIGHT, TALLEST = 900, 3_000  # pixels of a window, and of a picture


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, small_db: Path) -> Bench:
    """Results, probes, events and studies: something on every page."""
    bench = Bench(tmp_path_factory.mktemp("served"))
    with closing(sqlite3.connect(small_db)) as made, closing(sqlite3.connect(bench.db)) as copy:
        made.backup(copy)
    store = Store(str(bench.db))
    fill(store, models=("sru",), seeds=3)
    run = next(run for run in store.runs(model="fru", task="copy-100") if run.budget == "10k")
    for data in probes(run.run_id):
        store.add_event(run, "probe", "", data)
    store.add_event(run, "verified", "scored again", {"rung": "rescored"})
    make(bench.db, direction="maximize")
    make(bench.db, "two objectives", directions=["maximize", "minimize"])
    return bench


@pytest.fixture(scope="module")
def address(host: Bench) -> Iterator[str]:
    with serving(host) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Page]:
    """One for all tests: a browser that has loaded the app once shows a page in half the time."""
    page = browser.new_context(accept_downloads=True).new_page()
    page.set_default_timeout(60_000)
    yield page
    page.context.close()


@pytest.fixture
def page(window: Page) -> Iterator[Page]:
    """A wide and light window in which nothing may go wrong unseen, in the browser or on the server."""
    errors: list[str] = []
    window.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    window.emulate_media(color_scheme="light")
    window.on("pageerror", listener := lambda error: errors.append(str(error)))
    window.on("dialog", closer := lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
    yield window
    window.remove_listener("pageerror", listener)
    window.remove_listener("dialog", closer)
    assert window.get_by_test_id("stException").count() == 0
    assert errors == []


@pytest.fixture
def board(page: Page, address: str) -> Page:
    """The first view."""
    return opened(page, address)


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    settle(page)
    return page


def table(page: Page, caption: str = "The entries, best first") -> Grid:
    (shown,) = read(page.get_by_role("table", name=caption).evaluate("table => table.outerHTML"))
    return shown


def follow(page: Page, link: Locator, to: str) -> None:
    link.click()
    page.wait_for_url(to)
    settle(page)


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def menu(page: Page, name: str) -> Locator:
    return page.get_by_test_id("stPopoverButton").filter(has_text=name)


def search(page: Page, words: str, found: str) -> None:
    page.get_by_role("searchbox").fill(words)
    page.keyboard.press("Enter")
    expect(page.get_by_text(found)).to_be_visible()


@pytest.mark.slow
def test_the_first_visitor_may_come_by_any_address(page: Page, address: str) -> None:
    """The first in this file: a server that nobody has asked yet must show the app around the page too."""
    opened(page, f"{address}/submit")
    for name in ("Leaderboard", "Tasks", "Architectures", "Compare", "Runs", "Studies", "Submit"):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def test_the_numbers_are_those_of_the_command_line(board: Page, host: Bench) -> None:
    rows, shown = host.json(*BOARD), table(board)
    assert shown.names() == [row["model"] for row in rows]
    assert shown.numbers("score") == [row["score"] and pytest.approx(row["score"], abs=0.05) for row in rows]
    assert shown.numbers("parameters") == [round(row["params"]) for row in rows]
    assert shown.numbers("seeds") == [row["seeds"] for row in rows]
    assert shown.numbers("failures") == [row["failures"] for row in rows]
    intervals = [row["score_low"] and f"{row['score_low']:.1f} – {row['score_high']:.1f}" for row in rows]
    assert [text or None for text in shown.columns["95% interval"]] == intervals
    best = rows[0]
    claim = f"{best['model']} scores highest at 10k parameters: {best['score']:.1f} of 100"
    expect(board.get_by_role("heading", name=claim)).to_be_visible()
    assert query(board) == {"suite": ["quick-v1"], "tier": ["10k"]}


def test_from_the_board_to_an_architecture_to_a_run(board: Page, host: Bench) -> None:
    best = host.json(*BOARD)[0]
    follow(
        board,
        board.get_by_role("table", name="The entries").get_by_role(
            "link", name=display_name(best["model"]), exact=True
        ),
        "**/architecture?*",
    )
    assert query(board) == {"name": [best["model"]]}
    row = board.get_by_role("table", name="Score and rank in each suite and tier").get_by_role("row").nth(1)
    expect(row).to_contain_text(f"{best['score']:.1f}")
    tasks = table(board, "Results task by task")
    place = tasks.columns["tier"].index("10k")
    task = tasks.names("task")[place]
    scores = {each["task"]: each["score"] for each in best["tasks"]}
    assert tasks.numbers("score")[place] == pytest.approx(scores[task], abs=0.05)
    follow(board, board.get_by_role("table", name="Results task by task").locator("tbody td a").first, "**/run?*")
    assert query(board) == {"model": [best["model"]], "task": [task]}
    recorded = sorted(host.json("runs", "--model", best["model"], "--task", task), key=lambda run: run["finished_at"])
    assert table(board, "Runs, newest first").links["run"] == [f"run?id={run['run_id']}" for run in recorded[::-1]]
    run = recorded[-1]
    follow(board, board.get_by_role("link", name=run["run_id"][:8]), "**/run?id=*")
    expect(
        board.get_by_role("heading", name=f"{display_name(best['model'])} on {task}, seed {run['seed']}")
    ).to_be_visible()
    expect(board.get_by_test_id("stMetric").nth(0)).to_contain_text(f"{run['score']:.1f}")
    expect(board.get_by_test_id("stMetric").nth(2)).to_contain_text(f"{run['params']['total']:,}")


def test_filters_answer_and_the_address_keeps_them(board: Page) -> None:
    search(board, "gated", "2 of 7 entries")
    board.get_by_role("radio", name="100k", exact=True).click()
    expect(board.get_by_text("2 of 5 entries")).to_be_visible()
    menu(board, "Columns").click()
    board.get_by_text("Each task's score").click()
    board.keyboard.press("Escape")
    settle(board)
    assert query(board) == {"suite": ["quick-v1"], "tier": ["100k"], "q": ["gated"], "tasks": ["true"]}
    shown, asked = table(board), query(board)
    assert set(shown.names()) == {"gru", "lstm"}
    assert {"digits", "mix-sin"} <= shown.columns.keys()
    board.reload()
    settle(board)
    assert table(board) == shown
    assert query(board) == asked
    menu(board, "Filters").click()
    board.get_by_role("button", name="Clear", exact=True).click()
    expect(board.get_by_text("2 of 5 entries")).to_be_hidden()
    assert "q" not in query(board)


def test_back_shows_what_the_address_says(page: Page, address: str) -> None:
    """After a search, too: whatever Back leads to, buttons, search and table are those of the address."""
    opened(page, f"{address}/submit")
    opened(page, address)
    search(page, "gated", "2 of 7 entries")
    page.get_by_role("radio", name="100k", exact=True).click()
    expect(page.get_by_text("2 of 5 entries")).to_be_visible()
    settle(page)
    seen = []
    for _ in range(3):
        page.go_back()
        page.wait_for_timeout(500)
        settle(page)
        asked = query(page)
        assert chosen(page, "Suite") == asked["suite"][0]
        assert chosen(page, "Parameters") == asked["tier"][0]
        assert page.get_by_role("searchbox").input_value() == "".join(asked.get("q", []))
        assert (
            len(table(page).names())
            == {("100k", True): 2, ("10k", True): 2, ("10k", False): 7}[asked["tier"][0], "q" in asked]
        )
        seen.append((asked["tier"][0], "q" in asked))
    assert ("10k", True) in seen


def chosen(page: Page, group: str) -> str:
    """The button of a group that is marked."""
    return page.get_by_role("radiogroup", name=group).get_by_role("radio", checked=True).inner_text()


def test_a_click_on_a_head_sorts(board: Page, address: str) -> None:
    every = table(board).numbers("parameters")
    head = board.get_by_role("columnheader", name="parameters", exact=True)
    head.get_by_role("button").click()
    assert table(board).numbers("parameters") == sorted(every, reverse=True)
    expect(head).to_have_attribute("aria-sort", "descending")
    board.keyboard.press("Enter")
    assert table(board).numbers("parameters") == sorted(every)
    opened(board, f"{address}/architecture")
    names = board.get_by_role("table", name="Every architecture").locator("tbody td:first-child")
    board.get_by_role("columnheader", name="architecture").click()
    shown = names.all_inner_texts()
    assert shown == sorted(shown, key=str.lower)
    board.get_by_role("columnheader", name="architecture").click()
    assert names.all_inner_texts() == shown[::-1]


def test_settings_and_dates_are_in_view_at_1280_pixels(page: Page, address: str) -> None:
    for path, cells in {
        "run": "tbody td:nth-child(2)",
        "task?name=digits": "td.words",
        "architecture?name=fru": "td.words",
        "?suite=by-task&task=digits": "td.words",
    }.items():
        opened(page, f"{address}/{path}")
        frame = page.locator(".grid").first
        edge = frame.evaluate("each => each.getBoundingClientRect().right")
        for cell in frame.locator(cells).all():
            right, cut = cell.evaluate(
                "each => [each.getBoundingClientRect().right, each.scrollWidth > each.clientWidth]"
            )
            assert right <= edge + 1, path
            assert not cut, path


def test_on_a_telephone_the_pages_are_a_click_away(page: Page, address: str) -> None:
    page.set_viewport_size({"width": WIDTHS[1], "height": 844})
    opened(page, address)
    for name in ("Leaderboard", "Tasks", "Architectures", "Compare", "Runs", "Audit", "Studies", "Submit"):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_in_viewport()
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    settle(page)
    assert page.get_by_role("table", name="Runs, newest first").locator("tbody tr").first.bounding_box()["y"] < 844
    page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    settle(page)
    expect(page.get_by_role("link", name="Audit", exact=True)).to_have_count(1)


def test_exports_honour_the_filters(board: Page, host: Bench) -> None:
    search(board, "gated", "2 of 7 entries")
    menu(board, "Export").click()
    rows = {
        row["model"]: row
        for row in csv.DictReader(io.StringIO(download(board, "Table as CSV", "quick-v1-10k-board.csv").decode()))
    }
    every = csv.DictReader(io.StringIO(host(*BOARD, "--csv").stdout))
    assert rows == {row["model"]: row for row in every if row["model"] in ("gru", "lstm")}
    printed = host(*BOARD, "--latex").stdout.splitlines()
    wanted = [line for line in printed if "& GRU &" in line or "& LSTM &" in line]
    latex = download(board, "Table as LaTeX", "quick-v1-10k-board.tex").decode().splitlines()
    assert [line for line in latex if " & " in line and "Rank" not in line] == wanted
    papers = download(board, "Papers as BibTeX", "quick-v1-10k-board.bib").decode()
    assert papers.count("@misc{") == 2
    assert "@misc{lstm1997," in papers
    png = download(board, "Chart as PNG", "quick-v1-10k-score-against-parameters.png")
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) > 1_500
    svg = ET.fromstring(download(board, "Chart as SVG", "quick-v1-10k-score-against-parameters.svg"))
    said = [text for element in svg.iter() if element.tag.endswith("text") and (text := element.text)]
    assert "quick-v1 Score against parameters" in said
    assert {"GRU", "LSTM"} & set(said)
    assert not {"FRU", "S5", "Mamba"} & set(said)


def download(page: Page, label: str, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label).click()
    assert waiting.value.suggested_filename == name
    return Path(waiting.value.path()).read_bytes()


def test_equal_time_has_an_address_too(board: Page) -> None:
    board.get_by_role("radio", name="training time", exact=True).click()
    expect(board.get_by_role("heading", name="of training on AMD EPYC 7B13, 2 threads")).to_be_visible()
    settle(board)
    assert query(board)["equal"] == ["training time"]
    assert query(board)["machine"] == ["AMD EPYC 7B13, 2 threads"]
    assert "tier" not in query(board)
    board.get_by_role("radio", name="parameters", exact=True).click()
    expect(board.get_by_role("heading", name="scores highest at 10k parameters")).to_be_visible()
    settle(board)
    assert query(board) == {"suite": ["quick-v1"], "tier": ["10k"]}


def test_a_click_on_a_mark_opens_its_architecture(board: Page) -> None:
    mark = board.get_by_test_id("stVegaLiteChart").nth(1).locator(".mark-symbol path").first
    label = mark.get_attribute("aria-label") or ""
    follow(board, mark, "**/architecture?name=*")
    assert f"entry: {display_name(query(board)['name'][0])};" in label
    board.go_back()
    expect(board.get_by_role("heading", name="scores highest")).to_be_visible()


def names(page: Page) -> Locator:
    """The names at the right of the first chart."""
    return page.get_by_test_id("stVegaLiteChart").first.locator(".mark-text.role-mark text")


def test_the_legend_shows_a_family_alone(board: Page) -> None:
    expect(names(board).filter(has_text="FRU")).to_have_count(1)
    legend = board.get_by_test_id("stVegaLiteChart").first.locator(".role-legend-label text")
    legend.filter(has_text="gated recurrence").click()
    expect(names(board)).to_have_text(["GRU", "LSTM"])
    legend.filter(has_text="gated recurrence").click()
    expect(names(board).filter(has_text="FRU")).to_have_count(1)


@pytest.mark.parametrize("width", WIDTHS)
def test_names_stand_apart_and_inside_the_chart(board: Page, width: int) -> None:
    board.set_viewport_size({"width": width, "height": HEIGHT})
    settle(board)
    boxes = [each.bounding_box() for each in names(board).all()]
    found = sorted((box["y"], box["height"], box["x"] + box["width"]) for box in boxes if box)
    assert len(found) == 7
    assert all(right <= width for _, _, right in found)
    for (above, height, _), (below, _, _) in pairwise(found):
        assert below - above > 0.75 * height  # the letters' own height; the box has room around them


def test_a_cell_of_the_map_leads_to_its_runs(board: Page) -> None:
    cell = board.get_by_role("table", name="Scores of architectures on tasks").locator("td[title^='FRU on digits'] a")
    cell.click()
    board.wait_for_url("**/run?*")
    assert query(board) == {"model": ["fru"], "task": ["digits"]}


def test_on_a_telephone_the_first_row_is_on_the_first_screen(board: Page) -> None:
    board.set_viewport_size({"width": 390, "height": 844})
    settle(board)
    table, chart = board.get_by_role("table", name="The entries"), board.get_by_test_id("stVegaLiteChart").first
    first, drawn = table.locator("tbody tr").first.bounding_box(), chart.bounding_box()
    assert first is not None
    assert drawn is not None
    assert first["y"] + first["height"] < 844
    assert drawn["y"] > first["y"]
    board.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    settle(board)
    first, drawn = table.locator("tbody tr").first.bounding_box(), chart.bounding_box()
    assert first is not None
    assert drawn is not None
    assert drawn["y"] < first["y"]


def test_entries_are_set_side_by_side(board: Page, host: Bench) -> None:
    first, second = (row["model"] for row in host.json(*BOARD)[:2])
    menu(board, "Compare").click()
    board.get_by_role("combobox", name="Two to 4 entries").click()
    board.get_by_role("option", name=display_name(first), exact=True).click()
    board.get_by_role("option", name=display_name(second), exact=True).click()
    board.keyboard.press("Escape")
    follow(board, board.get_by_role("link", name="Set them side by side"), "**/compare?*")
    assert query(board)["suite"] == ["quick-v1"]
    assert [entry.split()[0] for entry in query(board)["entries"]] == [first, second]


def test_a_bundle_is_handed_in(
    page: Page,
    address: str,
    host: Bench,
    members: Members,  # noqa: F811
) -> None:
    good = write(members, host.folder / "good.zip")
    (host.folder / "bad.zip").write_bytes(Path(good).read_bytes()[:-1])
    opened(page, f"{address}/submit")
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(host.folder / "bad.zip")
    expect(page.get_by_text("Refused: not a zip")).to_be_visible()
    chooser.set_input_files(good)
    expect(page.get_by_text("structure is right")).to_be_visible()
    settle(page)
    assert len(list((host.folder / "board-inbox").iterdir())) == 1


def test_new_results_show_without_a_restart(page: Page, address: str, host: Bench) -> None:
    opened(page, f"{address}/run?id=a1b2")
    expect(page.get_by_text("No run begins with a1b2")).to_be_visible()
    Store(str(host.db)).record(one_run("a1b2c3d4e5f60718"))
    page.reload()
    expect(page.get_by_role("heading", name="FRU on digits, seed 0")).to_be_visible()


PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "leaderboard": ("leaderboard", {}),
    "leaderboard all tiers": ("leaderboard", {"tier": "all tiers", "picture": "Two entries, task by task"}),
    "leaderboard by state": ("leaderboard", {"picture": "Score against state", "map": "likeness"}),
    "leaderboard by task": ("leaderboard", {"suite": "by-task", "task": "digits"}),
    "tasks": ("task", {}),
    "task": ("task", {"name": "digits"}),
    "architectures": ("architecture", {}),
    "architecture": ("architecture", {"name": "fru"}),
    "compare": ("compare", {"suite": "quick-v1", "entries": [f"{name} plain 10k defaults" for name in ("fru", "gru")]}),
    "runs": ("run", {}),
    "audit": ("audit", {"suite": "quick-v1", "tier": "10k", "entry": "fru plain 10k defaults"}),
    "studies": ("studies", {}),
    "study": ("studies", {"name": NAME}),
    "study of two objectives": ("studies", {"name": "two objectives"}),
    "submit": ("submit", {}),
    "hostile run": ("run", {"id": "bad0000000000001"}),
    "hostile architecture": ("architecture", {"name": HOSTILE}),
}


@pytest.mark.slow
def test_every_page_wide_and_narrow_light_and_dark(page: Page, address: str, host: Bench, screenshots: Path) -> None:
    run = Store(str(host.db), read_only=True).runs(model="fru", task="copy-100")[0]
    for name, (path, parameters) in (PAGES | {"run": ("run", {"id": run.run_id})}).items():
        page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
        opened(page, f"{address}/{page_url(path, **parameters)}")
        for width, themes in zip(WIDTHS, (THEMES, THEMES[::-1]), strict=True):
            fit(page, width)
            assert_sound(page, f"{name}, {width} pixels")
            for theme in themes:
                wear(page, theme)
                page.screenshot(path=screenshots / f"{name} {width} {theme}.png")


def fit(page: Page, width: int) -> None:
    """A window of that width in which the whole page is seen."""
    page.set_viewport_size({"width": width, "height": HEIGHT})
    settle(page)
    height = page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(height, TALLEST)})


def assert_sound(page: Page, where: str) -> None:
    """No errors, nothing wider than the screen, and foreign text is text."""
    assert page.get_by_test_id("stException").count() == 0, where
    main = "document.querySelector('[data-testid=stMain]')"
    assert page.evaluate(f"() => {main}.scrollWidth - {main}.clientWidth") <= 0, f"{where}: too wide"
    for group in page.get_by_role("radiogroup").all():
        assert group.evaluate("group => group.scrollWidth - group.clientWidth") <= 0, f"{where}: buttons are cut off"
    assert page.locator("img[src=x], a[href^=javascript], .katex").count() == 0, where
    for chart in page.get_by_test_id("stVegaLiteChart").all():
        box = chart.bounding_box()
        assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]), where


def wear(page: Page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)
    settle(page)
    background = page.get_by_test_id("stApp").evaluate("app => getComputedStyle(app).backgroundColor")
    brightness = sum(json.loads(background.replace("rgb(", "[").replace(")", "]")))
    assert (brightness > 600) == (theme == "light")
