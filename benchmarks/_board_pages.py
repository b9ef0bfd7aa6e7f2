"""Timing the board's pages in headless Chromium: what `board_speed.py` needs the extra `test` for."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import psutil
from playwright.sync_api import Browser, Page, ViewportSize, expect

SCREEN: ViewportSize = {"width": 1280, "height": 900}
WAIT = 60_000  # milliseconds


class Took(NamedTuple):
    """What one piece of work took, in seconds."""

    clock: float
    server: float
    """Processor time of the server."""
    all: float
    """Processor time of the server and the browser, without processes that ended meanwhile."""


class Clock:
    def __init__(self, server: psutil.Process) -> None:
        self.server = server

    def time(self, work: Callable[[], object]) -> Took:
        before, started = self._busy(), time.perf_counter()
        work()
        took, after = time.perf_counter() - started, self._busy()
        used = {pid: after[pid] - before.get(pid, 0) for pid in after}
        return Took(took, used[self.server.pid], sum(used.values()))

    def _busy(self) -> dict[int, float]:
        times = {}
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                times[process.pid] = sum(process.cpu_times()[:2])
        return times


def first_view(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("heading", name="scores highest")).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("table", name="The entries").first).to_be_visible(timeout=WAIT)


def first_views(browser: Browser, address: str, clock: Clock, turns: int) -> list[Took]:
    """Time views of the board, each in a new browser context, as a new visitor has it."""
    times = []
    for _ in range(turns):
        page = browser.new_context(viewport=SCREEN).new_page()
        times.append(clock.time(lambda: first_view(page, address)))  # noqa: B023
        page.context.close()
    return times


def further_views(browser: Browser, address: str, clock: Clock, turns: int) -> list[Took]:
    """Time views of the board in new sessions of the app in one browser context, as a returning visitor has them."""
    context = browser.new_context(viewport=SCREEN)
    times = []
    for _ in range(turns + 1):
        page = context.new_page()
        times.append(clock.time(lambda: first_view(page, address)))  # noqa: B023
        page.close()
    context.close()
    return times[1:]


def filters(browser: Browser, address: str, clock: Clock, turns: int) -> dict[str, list[Took]]:
    """Time a search, a filter and a change of tier, on a page whose charts are drawn."""
    page = browser.new_page(viewport=SCREEN)
    first_view(page, address)
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(3_000)
    times: dict[str, list[Took]] = {"search": [], "filter": [], "tier": []}
    for _ in range(turns):
        times["search"].append(clock.time(lambda: search(page)))
        page.get_by_role("searchbox").first.fill("")
        page.keyboard.press("Enter")
        expect(page.get_by_text(" of 36 entries")).to_be_hidden(timeout=WAIT)
        page.get_by_role("button", name="Filters").click()
        page.wait_for_timeout(1_000)
        times["filter"].append(clock.time(lambda: causal(page)))
        page.get_by_role("button", name="Clear", exact=True).click()
        expect(page.get_by_text(" of 36 entries")).to_be_hidden(timeout=WAIT)
        page.keyboard.press("Escape")
        page.wait_for_timeout(1_000)
        for tier in ("30k", "10k"):
            times["tier"].append(clock.time(lambda: choose(page, tier)))  # noqa: B023
            page.wait_for_timeout(1_000)
    return times


def search(page: Page) -> None:
    page.get_by_role("searchbox").first.fill("gated")
    page.keyboard.press("Enter")
    expect(page.get_by_text(" of 36 entries")).to_be_visible(timeout=WAIT)


def causal(page: Page) -> None:
    page.get_by_role("radio", name="causal", exact=True).click()
    expect(page.get_by_text(" of 36 entries")).to_be_visible(timeout=WAIT)


def choose(page: Page, tier: str) -> None:
    page.get_by_role("radio", name=tier, exact=True).click()
    expect(page.get_by_role("heading", name=f"highest at {tier}")).to_be_visible(timeout=WAIT)
