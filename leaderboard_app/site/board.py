"""The boards: a page for each suite, tier and block, with charts, table and downloads. The first is the site's own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from bench.catalog.families import FAMILIES
from bench.catalog.suites import SUITES, Suite, find_suite
from bench.catalog.tiers import TIERS, tier_size
from bench.common.errors import RequestError
from bench.ranking.contest import InTier
from bench.ranking.rows import Board, SuiteRow
from bench.reports.board import wrappers_apart
from bench.reports.board_formats import bibtex, board_csv, board_latex
from bench.reports.listings import model_facts
from db.store import Store
from leaderboard_app.data import first_suite, load_all_tiers, load_board, load_tiers
from leaderboard_app.site import addresses, vega
from leaderboard_app.site.addresses import first_block
from leaderboard_app.site.pages import File, Page
from leaderboard_app.site.tables import Head, Row, Table
from leaderboard_app.views.leaderboard import charts, computed, pictures, rates, sentences, table
from leaderboard_app.views.leaderboard.capability_map import ORDERS, capability_map
from leaderboard_app.views.leaderboard.contests import Block, Contest, by_block
from leaderboard_app.views.leaderboard.controls import ALL, ALL_TIERS, AS_PUBLISHED, BLOCKS, possible
from leaderboard_app.views.leaderboard.filters import UNKNOWN, described, words
from leaderboard_app.views.leaderboard.seeds import suite_seeds
from leaderboard_app.views.leaderboard.shown import Shown, name_of
from leaderboard_app.widgets.drawing import Spec
from leaderboard_app.widgets.grid import Column, Link
from leaderboard_app.widgets.heat_map import RAMP
from leaderboard_app.widgets.links import entry_id, page_url
from leaderboard_app.widgets.marks import Mark, family_mark
from leaderboard_app.widgets.text import plain

HOME = "index.html"
FIRST = "parameters"
"""The name of the chart in the first view."""
FORMATS = {"csv": "CSV", "tex": "LaTeX", "bib": "BibTeX"}


class Choice(NamedTuple):
    """A link to another board."""

    text: str
    path: str
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Place:
    """A board: the choices that its address names."""

    suite: Suite
    tier: str
    block: str

    @property
    def path(self) -> str:
        return addresses.board(self.suite.name, self.tier, self.block)

    @property
    def contests(self) -> tuple[InTier, ...]:
        wrappers = wrappers_apart(self.suite, None if self.block == ALL else self.block)
        tiers = sorted(self.suite.tiers, key=tier_size) if self.tier == ALL_TIERS else [self.tier]
        return tuple(InTier(tier, wrapper) for wrapper in wrappers for tier in tiers)


def files(store: Store) -> Iterator[File]:
    """Yield every board's page, charts and tables, and the first one with entries again as the site's first page."""
    places = every(store)
    seen_first = first_suite(load_tiers(store))
    first = next((place for place in places if place.suite.name == seen_first and _has_rows(store, place)), None)
    first = first or next(iter(places), None)
    if first is None:
        yield Page(path=HOME, template="empty.html", title="Leaderboard", section="leaderboard").file()
    for place in places:
        drawn = _Drawn(store, place)
        yield from drawn.attachments()
        page = drawn.page(places)
        yield page.file()
        if place == first:
            yield replace(page, path=HOME).file()


def every(store: Store) -> list[Place]:
    """Return the boards that have entries, and of each suite and tier that of the first block, in the app's order."""
    return [
        place
        for suite, tiers in load_tiers(store).items()
        for tier in [*tiers, *[ALL_TIERS] * (len(find_suite(suite).tiers) > 1)]
        for block in sorted(BLOCKS, key=lambda block: block != first_block(find_suite(suite)))
        for place in [Place(suite=find_suite(suite), tier=tier, block=block)]
        if block == first_block(place.suite) or _has_rows(store, place)
    ]


def _has_rows(store: Store, place: Place) -> bool:
    try:
        return any(load_board(store, place.suite.name, contest).rows for contest in place.contests)
    except RequestError:
        return False


class _Drawn:
    """One board's page and what stands beside it."""

    def __init__(self, store: Store, place: Place) -> None:
        self.store, self.place, self.suite = store, place, place.suite
        self.problem = ""
        self.boards: dict[Contest, Board] = {}
        try:
            found = {contest: load_board(store, self.suite.name, contest) for contest in place.contests}
            self.boards = {contest: board for contest, board in found.items() if board.rows}
        except RequestError as error:
            self.problem = str(error)
        self.blocks = by_block(self.boards)
        rows = tuple(row for block in self.blocks for row in block.rows)
        self.shown = Shown(
            self.suite, tuple(self.boards) or place.contests, rows,
            load_all_tiers(store, self.suite, dict.fromkeys(contest.wrapper for contest in self.boards)),
            name_of(place.contests),
        )  # fmt: skip

    @property
    def _beside(self) -> str:
        """The path of the page without its ending."""
        return self.place.path.removesuffix(".html")

    @cached_property
    def _charts(self) -> dict[str, tuple[str, Spec]]:
        """Name → title and chart, as far as there is something to draw; the first is the page's own."""
        draw, title = charts.against_cost(self.shown)
        lost = rates.load(self.store, self.shown)
        drawn = {
            FIRST: (title, draw()),
            "certainty": (
                pictures.CERTAINTY,
                charts.intervals(self.shown.rows, self.shown.full_name, suite_seeds(self.store, self.shown)),
            ),
            "state": (pictures.STATE, charts.against_state(self.shown)),
            "year": (pictures.YEAR, charts.against_year(self.shown)),
            "rates": (rates.TITLE, rates.drawn(lost) if lost else None),
        }
        return {name: (title, spec) for name, (title, spec) in drawn.items() if spec is not None}

    def attachments(self) -> Iterator[File]:
        """Yield the charts, and the table in the formats of other programs."""
        for name, (_, spec) in self._charts.items():
            yield vega.chart(f"{self._beside}-{name}.json", spec)
        facts = model_facts()
        papers = {row.model: facts[row.model].paper for row in self.shown.rows if row.model in facts}
        texts = board_csv(self.shown.rows, list(self.suite.tasks)), board_latex(self.shown.rows), bibtex(papers)
        for kind, text in zip(FORMATS, texts, strict=True):
            yield File(f"{self._beside}.{kind}", text.encode())

    def page(self, places: Sequence[Place]) -> Page:
        name = self.suite.name
        return Page(
            path=self.place.path,
            template="board.html",
            title=f"{name} at {self.place.tier}",
            section="leaderboard",
            values={
                "suite": self.suite,
                "tier": self.place.tier,
                "reason": plain(self.suite.superseded or ""),
                "problem": plain(self.problem),
                "choices": self._choices(places),
                "contests": [self._contest(block) for block in self.blocks],
                "charts": {
                    name: Choice(title, f"{self._beside}-{name}.json", name == FIRST)
                    for name, (title, _) in self._charts.items()
                },
                "map": capability_map(self.shown.rows, list(self.suite.tasks), self.shown.full_name, offered=ORDERS),
                "orders": ORDERS,
                "note": pictures.note(self.shown),
                "ramp": RAMP,
                "formats": {f"{self._beside}.{kind}": word for kind, word in FORMATS.items()},
                "families": self._families(),
                "models": {
                    row.model: addresses.path_of(page_url("architecture", name=row.model)) for row in self.shown.rows
                },
            },
        )

    def _choices(self, places: Sequence[Place]) -> dict[str, list[Choice]]:
        """Return label → links to the boards that differ from this one in one choice."""
        own = self.place
        firsts = {place.suite.name: place for place in reversed(places)}
        suites = [Choice(name, firsts[name].path, name == self.suite.name) for name in SUITES if name in firsts]
        old = {suite.name for suite in SUITES.values() if suite.superseded}
        same = [place for place in places if place.suite is own.suite]
        published = BLOCKS | {ALL: AS_PUBLISHED} if self.suite.protocol == 1 else BLOCKS
        blocks = [
            Choice(published[place.block], place.path, place.block == own.block)
            for place in same
            if place.tier == own.tier
        ]
        tiers = {
            place.tier: Choice(place.tier, place.path, place.tier == own.tier)
            for place in same
            if place.block in (own.block, first_block(self.suite))
        }
        return {
            "Suite": [each for each in suites if each.text not in old],
            "Superseded": [each for each in suites if each.text in old],
            "Block": blocks,
            "Parameters": [tiers[tier] for tier in (*TIERS, ALL_TIERS) if tier in tiers],
        }

    def _families(self) -> dict[str, Mark]:
        """Return the families on the board with their marks, in the order of their colours."""
        there = {_family(row) for row in self.shown.rows}
        return {family: family_mark(family) for family in (*FAMILIES, UNKNOWN) if family in there}

    def _contest(self, block: Block) -> dict[str, Any]:
        claim, _, more = sentences.claim(block).partition("\n\n")
        return {
            "claim": claim.removeprefix("#### "),
            "more": more,
            "explained": sentences.explained(self.suite, block),
            "table": self._table(block),
        }

    def _table(self, block: Block) -> Table:
        cells = self._columns(block)
        return Table(
            caption="The entries, best first",
            heads=[Head(column, shown) for column, (shown, _) in cells.items()],
            rows=[
                Row(
                    [cell(row) for _, cell in cells.values()],
                    faded=row.rank_low is None,
                    words=words(row, model_facts().get(row.model)),
                    group=_family(row),
                    key=entry_id(row),
                )
                for row in block.rows
            ],
        )  # fmt: skip

    def _columns(self, block: Block) -> dict[Column, tuple[bool, Callable[[SuiteRow], table.Cell]]]:
        """Return column → whether it is shown at first, and its cells."""
        hidden = {table.TIER, table.TRAIN_TIME} - set(self.shown.told_apart)
        found: dict[Column, tuple[bool, Callable[[SuiteRow], table.Cell]]] = {
            column: (column.name not in hidden, cell) for column, cell in table.COLUMNS.items()
        }
        found[table.ARCHITECTURE] = (
            True,
            lambda row: Link(self.shown.name(row), page_url("architecture", name=row.model)),
        )
        complete = any(row.score is not None for row in block.rows)
        for task in self.suite.tasks:
            began = any(cell.task == task and cell.score is not None for row in block.rows for cell in row.tasks)
            found[Column(task, f"Score on {task}.", numeric=True)] = not complete and began, table.task_score(task)
            learned = Column(f"{task} learned", f"Share of the seeds that learned {task}.", numeric=True)
            found[learned] = False, table.task_learned(task)
        extra = set(possible([column.name for column in table.EXTRA], self.suite))
        found |= {column: (False, cell) for column, cell in table.EXTRA.items() if column.name in extra}
        keys = tuple(row.key for row in self.shown.rows)
        return found | {
            column: (False, table.looked_up(computed.cells(self.store, self.suite, keys, column.name)))
            for column in table.COMPUTED
        }


def _family(row: SuiteRow) -> str:
    return described(model_facts().get(row.model))[0]
