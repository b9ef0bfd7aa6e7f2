"""The site in headless Chromium, from a server that knows nothing but files, in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from bench.catalog.names import display_name
from tests.leaderboard_app.site.conftest import Site
from tests.support.browser import chromium
from tests.support.static_pages import file_server

WIDTHS, THEMES = (1280, 390), ("light", "dark")
MOST_BYTES = 1_000_000
BOARD = "board/quick-v2-10k.html"


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    with file_server(site.folder.parent.parent) as host:
        yield f"{host}/any/folder"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A window in which nothing may go wrong unseen, and that asks no other host."""
    page = browser.new_context(viewport={"width": WIDTHS[0], "height": 900}).new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.extend([message.text] * (message.type == "error")))
    page.on("request", lambda request: troubles.extend([request.url] * is_elsewhere(request, address)))
    yield page
    page.context.close()
    assert troubles == []


def is_elsewhere(request: Request, address: str) -> bool:
    return not request.url.startswith((f"{address}/", "data:", "blob:"))


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    for figure in page.locator("figure[data-chart]").all():
        if figure.is_visible():
            figure.scroll_into_view_if_needed()
            expect(figure.locator("svg")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    return page


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def column(page: Page, name: str) -> list[str]:
    """The texts of a column, of the rows that are seen."""
    return page.locator("table.sortable").first.evaluate(
        """(table, name) => {
          const place = [...table.rows[0].cells].findIndex(cell => cell.innerText.startsWith(name));
          return [...table.tBodies[0].rows].filter(row => !row.hidden).map(row => row.cells[place].innerText.trim());
        }""",
        name,
    )


def mapped(page: Page) -> list[str]:
    """The architectures of the map, from the top, of the rows that are seen."""
    return [text.strip() for text in page.locator(".heat tbody tr:not([hidden]) th").all_inner_texts()]


def test_the_first_view_is_small_and_asks_no_other_host(page: Page, address: str) -> None:
    asked: list[Request] = []
    page.on("requestfinished", lambda request: asked.append(request))
    opened(page, f"{address}/")
    names = {urlsplit(request.url).path.rsplit("/", 1)[-1] for request in asked}
    assert {"vega.js", "site.js", "site.css", "quick-v2-10k-parameters.json"} <= names
    assert sum(request.sizes()["responseBodySize"] for request in asked) < MOST_BYTES
    expect(page.get_by_role("img", name="Score against parameters")).to_be_visible()


def test_a_click_on_a_head_sorts_and_the_address_keeps_it(page: Page, address: str, site: Site) -> None:
    rows = site.bench.json("leaderboard", "--suite", "quick-v2", "--budget", "10k", "--wrapper", "residual")
    opened(page, f"{address}/{BOARD}")
    assert column(page, "architecture") == [display_name(row["model"]) for row in rows]
    page.get_by_role("button", name="parameters", exact=True).click()
    falling = [f"{row['params']:,.0f}" for row in sorted(rows, key=lambda row: -row["params"])]
    assert column(page, "parameters") == falling
    assert query(page) == {"order": ["-parameters"]}
    opened(page, page.url)
    assert column(page, "parameters") == falling
    page.get_by_role("button", name="parameters", exact=True).click()
    assert column(page, "parameters") == falling[::-1]
    opened(page, f"{address}/{BOARD}?columns=on+front&order=on+front")
    assert column(page, "on front")[0] == "0%"
    assert column(page, "on front")[-1] == ""  # what has no value comes last


def test_tables_whose_cells_have_links_and_charts_of_a_comparison_sort_too(page: Page, address: str) -> None:
    opened(page, f"{address}/architectures.html")
    names = column(page, "architecture")
    page.get_by_role("button", name="architecture", exact=True).click()
    assert column(page, "architecture") == sorted(names, key=str.lower)
    opened(page, f"{address}/{PAGES['compare']}")
    scores = page.get_by_role("table", name="Scores and differences by task")
    scores.get_by_role("button", name="task", exact=True).click()
    tasks = scores.locator("tbody td:first-child").all_inner_texts()
    assert tasks == sorted(tasks)


def test_dates_and_metrics_sort_by_what_they_say(page: Page, address: str) -> None:
    opened(page, f"{address}/runs/fru.html")
    page.get_by_role("button", name="finished, UTC", exact=True).click()
    dates = column(page, "finished, UTC")
    assert dates == sorted(dates)
    assert len(set(dates)) > 2
    page.get_by_role("button", name="metric", exact=True).click()
    values = [float(text.partition(" ")[2]) for text in column(page, "metric") if not text.endswith("–")]
    assert values == sorted(values)
    texts = ["mse 2.93e-06", "11.7 KiB", "1.5 min", "+3.2 (−1.0 to 4)", "−7", "9,970", "–", "fru"]
    numbers = page.evaluate("texts => texts.map(number)", texts)
    assert numbers == [2.93e-06, pytest.approx(11.7 * 1024), 90, 3.2, -7, 9970, None, None]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (f"{BOARD}?columns=foo", "No column named 'foo'. There are: "),
        (f"{BOARD}?family=foo", "No family named 'foo'. There are: "),
        (f"{BOARD}?order=-foo", "No column named 'foo'. There are: rank, "),
        ("runs/fru.html?task=foo", "No task named 'foo'. There are: "),
        ("compare.html?suite=foo", "No suite named 'foo'. There are: "),
        ("compare.html?suite=quick-v2&entries=foo&entries=bar", "2 of the entries in the address are not in this"),
        ("COMPARED&task=foo", "No task named 'foo'. There are: "),
    ],
)
def test_a_wrong_address_says_so(page: Page, address: str, path: str, told: str) -> None:
    page.goto(f"{address}/{path.replace('COMPARED', PAGES['compare'])}")
    expect(page.locator(".note").filter(has_text=told)).to_be_visible()


def test_compared_entries_have_their_own_colours_and_each_chart_a_legend(page: Page, address: str) -> None:
    entries = ["fru plain 10k defaults", "fru plain 100k defaults", "gru plain 10k defaults"]
    opened(page, f"{address}/compare.html?{urlencode({'suite': 'quick-v1', 'entries': entries}, doseq=True)}")
    lines = page.locator("#curves .mark-line path[stroke-width='2.5']")
    expect(lines).to_have_count(2)  # no curve of the GRU is recorded
    colours = [line.get_attribute("stroke") for line in lines.all()]
    assert len(set(colours)) == 2
    keys = page.locator("#comparison .key")
    assert keys.count() == 2
    for key in keys.all():
        swatches = key.locator(".swatch").all()
        shown = [each.evaluate("each => getComputedStyle(each).backgroundColor") for each in swatches]
        assert len(set(shown)) == 3
        assert key.locator("span").all_inner_texts() == ["FRU · 10k", "FRU · 100k", "GRU · 10k"]


def test_a_link_to_what_the_audit_looked_at_opens_it(page: Page, address: str) -> None:
    opened(page, f"{address}/audit/quick-v2-10k.html")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="FRU", exact=True)).first
    row.locator("td a").click()
    page.wait_for_url("**#fru-*")
    details = page.locator("details").filter(has_text="FRU").filter(has=page.locator("table:visible"))
    expect(details).to_have_count(1)
    assert "FRU" in details.locator("summary").inner_text()


def test_rows_and_columns_are_chosen_and_the_address_keeps_them(page: Page, address: str) -> None:
    opened(page, f"{address}/{BOARD}")
    every = column(page, "architecture")
    page.get_by_role("searchbox").fill("recurrent units")
    assert 0 < len(column(page, "architecture")) < len(every)
    expect(page.get_by_text(f"of {len(every)} entries are shown; ranks are among all entries.")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    page.get_by_role("search").get_by_text("gated recurrence").click()
    assert column(page, "architecture") == mapped(page) == ["GRU"]
    entries = page.get_by_role("table", name="The entries, best first")
    score = entries.get_by_role("columnheader", name="copy-50", exact=True)
    expect(score).to_be_hidden()
    page.get_by_text("Columns").click()
    page.get_by_label("copy-50", exact=True).check()
    page.keyboard.press("Escape")
    expect(score).to_be_visible()
    assert query(page) == {"family": ["gated recurrence"], "columns": ["copy-50"]}
    opened(page, page.url)
    assert column(page, "architecture") == ["GRU"]
    expect(score).to_be_visible()


def test_other_boards_are_one_click_away(page: Page, address: str) -> None:
    opened(page, f"{address}/")
    page.get_by_text("Superseded").click()
    page.get_by_role("link", name="quick-v1", exact=True).click()
    expect(page.get_by_text("quick-v1 is superseded")).to_be_visible()
    page.get_by_role("link", name="quick-v2", exact=True).click()
    page.get_by_role("link", name="as in the RNN papers").click()
    page.get_by_role("link", name="3k", exact=True).click()
    page.wait_for_url("**/board/quick-v2-3k-plain.html")
    expect(page.get_by_role("heading", name="at 3k parameters, in plain layers")).to_be_visible()


def test_a_chart_says_what_is_pointed_at_and_is_saved(page: Page, address: str, tmp_path: Path) -> None:
    opened(page, f"{address}/{BOARD}")
    page.locator("figure path[aria-label*='entry: FRU']").first.hover()
    tip = page.locator("#tip")
    expect(tip).to_contain_text("FRU")
    expect(tip).to_contain_text("parameters")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="SVG").first.click()
    waiting.value.save_as(tmp_path / "chart.svg")
    assert "parameters outside token tables" in (tmp_path / "chart.svg").read_text()


def test_ticked_rows_are_compared(page: Page, address: str, site: Site) -> None:
    rows = site.bench.json("leaderboard", "--suite", "quick-v2", "--budget", "10k", "--wrapper", "residual")
    first, second = rows[0], rows[2]
    opened(page, f"{address}/{BOARD}")
    expect(page.get_by_text("Compare ticked rows")).to_have_attribute("aria-disabled", "true")
    for row in (first, second):
        page.get_by_label(f"Compare {row['model']} residual 10k defaults").check()
    page.get_by_text("Compare ticked rows").click()
    page.wait_for_url("**/compare.html?*")
    expect(page.get_by_role("table", name="The compared entries")).to_be_visible()
    summary = page.get_by_role("table", name="The compared entries").get_by_role("row")
    scores = page.get_by_role("table", name="Scores and differences by task").get_by_role("row")
    gap = second["score"] - first["score"]
    expect(summary.nth(1)).to_contain_text(f"{first['score']:.1f}")
    expect(summary.nth(2)).to_contain_text(f"{second['score']:.1f}")
    expect(scores.nth(1)).to_contain_text(f"{first['score']:.1f}")
    expect(scores.nth(1)).to_contain_text(f"{gap:+.1f} (".replace("-", "−"))
    better = f"is {abs(gap):.1f} points {'above' if gap >= 0 else 'below'} {display_name(first['model'])} on all tasks"
    expect(page.get_by_text(better)).to_be_visible()
    page.get_by_label("Task", exact=True).select_option("copy-50")
    assert query(page)["task"] == ["copy-50"]
    page.get_by_label("Add an entry").select_option("fru plain 3k defaults")
    expect(summary).to_have_count(4)
    page.get_by_label(f"Remove {display_name(first['model'])} · residual · 10k").click()
    expect(summary).to_have_count(3)
    assert query(page)["entries"] == [f"{second['model']} residual 10k defaults", "fru plain 3k defaults"]
    page.reload()
    expect(summary).to_have_count(3)


def test_from_the_board_to_an_architecture_to_a_run(page: Page, address: str, site: Site) -> None:
    opened(page, f"{address}/{BOARD}")
    page.get_by_role("table", name="The entries").get_by_role("link", name="FRU", exact=True).click()
    page.wait_for_url("**/architecture/fru.html")
    page.get_by_role("table", name="Results task by task").get_by_role("link", name="5 finished").first.click()
    page.wait_for_url("**/runs/fru.html?task=*")
    (task,) = query(page)["task"]
    listed = column(page, "run")
    recorded = site.bench.json("runs", "--model", "fru", "--task", task)
    assert sorted(listed) == sorted(run["run_id"][:8] for run in recorded)
    page.get_by_role("link", name=listed[0]).click()
    page.wait_for_url("**/run/*.html")
    expect(page.get_by_role("heading", name=f"FRU on {task}, seed")).to_be_visible()


def test_a_click_on_a_mark_opens_its_architecture(page: Page, address: str) -> None:
    opened(page, f"{address}/{BOARD}")
    page.locator("figure path[aria-label*='entry: S5']").last.click()
    page.wait_for_url("**/architecture/s5.html")


def test_a_run_draws_its_curves(page: Page, address: str, site: Site) -> None:
    run = site.bench.json("runs", "--model", "fru", "--task", "digits")[-1]
    opened(page, f"{address}/run/{run['run_id']}.html")
    points = page.locator("figure").first.locator(".mark-symbol.role-mark path")
    record = site.bench.json("show", run["run_id"])
    assert points.count() == sum(point["name"].endswith("/loss") for point in record["curves"])


def test_the_map_is_sorted_and_the_address_keeps_it(page: Page, address: str, site: Site) -> None:
    rows = site.bench.json("leaderboard", "--suite", "quick-v2", "--budget", "10k", "--wrapper", "residual")
    by_score = [display_name(row["model"]) for row in rows]
    opened(page, f"{address}/{BOARD}")
    by_family = mapped(page)
    assert sorted(by_family) == sorted(by_score)
    assert by_family != by_score
    page.get_by_role("radio", name="score").check()
    assert mapped(page) == by_score
    assert query(page) == {"map": ["score"]}
    opened(page, page.url)
    assert mapped(page) == by_score
    expect(page.get_by_role("radio", name="score")).to_be_checked()
    page.get_by_role("radio", name="family").check()
    assert mapped(page) == by_family


def test_a_cell_of_the_map_leads_to_its_runs(page: Page, address: str) -> None:
    opened(page, f"{address}/{BOARD}")
    page.locator(".heat td[title^='GRU on copy-50'] a").click()
    page.wait_for_url("**/runs/gru.html?task=copy-50")
    assert set(column(page, "task")) == {"copy-50"}


def test_the_legend_shows_a_family_alone(page: Page, address: str) -> None:
    opened(page, f"{address}/{BOARD}")
    names = page.locator("figure").first.locator(".mark-text.role-mark text")
    marked = page.locator("figure").first.locator(".mark-symbol.role-mark path")
    expect(names.filter(has_text="FRU")).to_have_count(1)
    before = marked.count()
    page.locator("figure .role-legend-label text", has_text="gated recurrence").first.click()
    expect(names.filter(has_text="FRU")).to_have_count(0)
    expect(names.filter(has_text="GRU")).to_have_count(1)
    assert 0 < marked.count() < before


def test_pictures_are_drawn_when_they_are_opened(page: Page, address: str) -> None:
    opened(page, f"{address}/{BOARD}")
    for title in ("Score against state", "Score against the paper's year"):
        expect(page.get_by_role("img", name=title)).to_be_hidden()
        page.get_by_text(title, exact=True).click()
        expect(page.get_by_role("img", name=title).locator("svg")).to_be_visible()


PAGES = {
    "board": "index.html",
    "board of both blocks": "board/quick-v2-10k-all.html",
    "board of all tiers": "board/quick-v2-all-tiers-all.html",
    "tasks": "tasks.html",
    "task": "task/digits.html",
    "architectures": "architectures.html",
    "architecture": "architecture/fru.html",
    "runs": "runs.html",
    "hostile run": "run/bad0000000000001.html",
    "compare": "compare.html?suite=quick-v2&entries=fru+residual+10k+defaults&entries=s5+residual+10k+defaults",
    "audit": "audit.html",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_every_page_wide_and_narrow_light_and_dark(page: Page, address: str, screenshots: Path, name: str) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            opened(page, f"{address}/{PAGES[name]}")
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (background == "rgb(255, 255, 255)") == (theme == "light")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name}, {width} pixels: too wide"
            for link in page.get_by_role("navigation").get_by_role("link").all():
                expect(link).to_be_in_viewport()
            page.screenshot(path=screenshots / f"site {name} {width} {theme}.png", full_page=True)


def test_on_a_telephone_the_first_row_is_on_the_first_screen(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, f"{address}/{BOARD}")
    first = page.locator(".grid tbody tr").first.bounding_box()
    assert first is not None
    assert first["y"] + first["height"] < 844
