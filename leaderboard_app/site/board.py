"""The boards: a page for each suite, tier and block, with charts, table and downloads. The first is the site's own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from bench.catalog.families import FAMILIES
from bench.catalog.suites import SUITES, Suite, find_suite
from bench.common.errors import RequestError
from bench.ranking.cells import EntryKey
from bench.ranking.contest import InTier
from bench.ranking.rows import Board, SuiteRow
from bench.reports.board import wrappers_apart
from bench.reports.board_formats import bibtex, board_csv, board_latex, entry_name
from bench.reports.listings import model_facts
from bench.reports.mixer_share import entry_mixer_shares
from db.store import Store
from leaderboard_app.data import load_board, load_tiers, snapshot
from leaderboard_app.site import addresses, vega
from leaderboard_app.site.addresses import first_block
from leaderboard_app.site.pages import File, Page
from leaderboard_app.site.tables import Head, Row, Table
from leaderboard_app.views.leaderboard import charts, sentences, table
from leaderboard_app.views.leaderboard.controls import ALL, AS_PUBLISHED, BLOCKS, possible
from leaderboard_app.views.leaderboard.filters import UNKNOWN, described, words
from leaderboard_app.views.leaderboard.table import Naming, shown_name
from leaderboard_app.widgets.grid import Column, Link, share
from leaderboard_app.widgets.links import entry_id, page_url
from leaderboard_app.widgets.marks import mark
from leaderboard_app.widgets.text import plain

HOME = "index.html"
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
        return tuple(InTier(self.tier, wrapper) for wrapper in wrappers)


def files(store: Store) -> Iterator[File]:
    """Yield every board's page, charts and tables, and the first one with entries again as the site's first page."""
    places = every(store)
    first = next((place for place in places if _has_rows(store, place)), places[0] if places else None)
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
        for tier in tiers
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
        self.boards: dict[InTier, Board] = {}
        try:
            found = {contest: load_board(store, self.suite.name, contest) for contest in place.contests}
            self.boards = {contest: board for contest, board in found.items() if board.rows}
        except RequestError as error:
            self.problem = str(error)
        self.rows = tuple(row for board in self.boards.values() for row in board.rows)

    @property
    def _beside(self) -> str:
        """The path of the page without its ending."""
        return self.place.path.removesuffix(".html")

    @property
    def _name(self) -> Naming:
        apart = len(self.boards) == 1 and next(iter(self.boards)).wrapper
        return entry_name if apart else shown_name

    @cached_property
    def _charts(self) -> dict[str, charts.Spec]:
        """Name → chart, as far as there is something to draw."""
        contests, shown = list(self.boards), {row.model for row in self.rows}
        wide = tuple(
            row
            for contest in contests
            for tier in self.suite.tiers
            for row in load_board(self.store, self.suite.name, InTier(tier, contest.wrapper)).rows
            if row.model in shown
        )
        drawn = {
            "parameters": charts.score_against(
                wide, charts.PARAMETERS, self.place.tier, self._name, apart=len(contests) > 1
            ),
            "certainty": charts.intervals(self.rows, self._name),
        }
        return {name: spec for name, spec in drawn.items() if spec is not None}

    def attachments(self) -> Iterator[File]:
        """Yield the charts, and the table in the formats of other programs."""
        for name, spec in self._charts.items():
            yield vega.chart(f"{self._beside}-{name}.json", spec)
        facts = model_facts()
        papers = {row.model: facts[row.model].paper for row in self.rows if row.model in facts}
        texts = board_csv(self.rows, list(self.suite.tasks)), board_latex(self.rows), bibtex(papers)
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
                "contests": [self._contest(*each) for each in self.boards.items()],
                "charts": {name: f"{self._beside}-{name}.json" for name in self._charts},
                "formats": {f"{self._beside}.{kind}": word for kind, word in FORMATS.items()},
                "families": self._families(),
                "models": {row.model: addresses.path_of(page_url("architecture", name=row.model)) for row in self.rows},
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
            "Parameters": list(tiers.values()),
        }

    def _families(self) -> dict[str, str]:
        """Return family → colour, of the families on the board, in the order of their colours."""
        colours = {_family(row): mark(row.model).colour for row in self.rows}
        return {family: colours[family] for family in (*FAMILIES, UNKNOWN) if family in colours}

    def _contest(self, contest: InTier, board: Board) -> dict[str, Any]:
        claim, _, more = sentences.headline(board, sentences.contest(contest)).partition("\n\n")
        return {
            "claim": claim.removeprefix("#### "),
            "more": more,
            "explained": sentences.explained(self.suite, contest, board),
            "table": self._table(board),
        }

    def _table(self, board: Board) -> Table:
        cells = self._columns(board)
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
                for row in board.rows
            ],
        )  # fmt: skip

    def _columns(self, board: Board) -> dict[Column, tuple[bool, Callable[[SuiteRow], table.Cell]]]:
        """Return column → whether it is shown at first, and its cells."""
        name, shares = self._name, self._mixers
        complete = any(row.score is not None for row in board.rows)
        found: dict[Column, tuple[bool, Callable[[SuiteRow], table.Cell]]] = {
            column: (True, cell) for column, cell in table.COLUMNS.items() if column.name not in table.TIMED
        }
        found[table.ARCHITECTURE] = (True, lambda row: Link(name(row), page_url("architecture", name=row.model)))
        train_time = next(column for column in table.COLUMNS if column.name == "train time")
        found[train_time] = (False, table.COLUMNS[train_time])
        for task in self.suite.tasks:
            began = any(cell.task == task and cell.score is not None for row in board.rows for cell in row.tasks)
            found[Column(task, f"Score on {task}.", numeric=True)] = not complete and began, table.task_score(task)
            learned = Column(f"{task} learned", f"Share of the seeds that learned {task}.", numeric=True)
            found[learned] = False, table.task_learned(task)
        extra = set(possible([column.name for column in table.EXTRA], self.suite))
        found |= {column: (False, cell) for column, cell in table.EXTRA.items() if column.name in extra}
        return found | {table.MIXER: (False, lambda row: share(shares.get(row.key)))}

    @cached_property
    def _mixers(self) -> Mapping[EntryKey, float]:
        seen = snapshot(self.store)
        return entry_mixer_shares(seen.runs, seen.standing, self.suite, [row.key for row in self.rows])


def _family(row: SuiteRow) -> str:
    return described(model_facts().get(row.model))[0]
