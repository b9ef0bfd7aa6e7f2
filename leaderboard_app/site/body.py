"""What a page says, section below section, in the words and charts of the app."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from leaderboard_app.site import vega
from leaderboard_app.site.pages import File, Page
from leaderboard_app.site.tables import Head, Row, Table
from leaderboard_app.widgets import docstrings, parts
from leaderboard_app.widgets.grid import Column, Line

Markdown = str
"""With foreign text escaped."""


class Heading(NamedTuple):
    text: str
    level: int = 2


class Text(NamedTuple):
    markdown: Markdown
    style: str = ""
    """A class of site.css: `hint` for what explains, `note` for what must be seen."""


class Code(NamedTuple):
    text: str


class Facts(NamedTuple):
    """A name and a value a line."""

    rows: Mapping[Markdown, Markdown]
    caption: str


class Rows(NamedTuple):
    """A table whose cells are Markdown, under the keys of its first row."""

    rows: Sequence[Mapping[Markdown, Markdown]]
    caption: str


class Grid(NamedTuple):
    table: Table


class Drawing(NamedTuple):
    path: str
    described: str
    points: Sequence[Mapping[str, Any]] | None = None
    """Values for a chart that many pages share."""


class Numbers(NamedTuple):
    """A few numbers in large type."""

    values: Mapping[str, str]


class Definition(NamedTuple):
    blocks: Sequence[tuple[bool, str]]
    """Whether it is code or an equation, and the text: Markdown where it is not."""


class Pair(NamedTuple):
    sides: "Sequence[Sequence[Section]]"


class Details(NamedTuple):
    """Sections that open at a click."""

    summary: Markdown
    sections: "Sequence[Section]"
    opened: bool = False
    anchor: str = ""
    """The id of the content. A link to it opens the details."""


Section = Heading | Text | Code | Facts | Rows | Grid | Drawing | Numbers | Definition | Pair | Details


class Body:
    """The sections of one page, and the charts beside it."""

    def __init__(self, path: str) -> None:
        """Begin a page.

        Args:
            path: the page's, from the root of the site.
        """
        self.path, self.sections, self.charts = path, list[Section](), list[File]()

    def add(self, *sections: Section) -> None:
        self.sections += sections

    def chart(self, drawn: alt.TopLevelMixin, described: str) -> Drawing:
        """Write a chart beside the page, and return it as a section."""
        path = f"{self.path.removesuffix('.html')}-{len(self.charts) + 1}.json"
        self.charts.append(vega.chart(path, drawn.to_dict()))
        return Drawing(path, described)

    def drawn(self, found: Iterable[parts.Part]) -> Iterator[Section]:
        """Return parts of the app's pages as sections."""
        for part in found:
            match part:
                case parts.Text(markdown, quiet):
                    yield Text(markdown, "hint" if quiet else "")
                case parts.Chart(chart, described):
                    yield self.chart(chart, described)
                case parts.Table(rows, described):
                    yield Rows(rows, described)
                case parts.SideBySide(columns):
                    yield Pair([list(self.drawn(column)) for column in columns])

    def files(self, title: str, view: str, **values: Any) -> Iterator[File]:
        """Yield the page and its charts."""
        yield from self.charts
        shown = {"sections": self.sections, "models": {}, **values}
        yield Page(path=self.path, template="body.html", title=title, section=view, values=shown).file()


def definition(text: str) -> Definition:
    """Return a docstring of one of our files."""
    return Definition([(code, block if code else docstrings.prose(block)) for code, block in docstrings.blocks(text)])


def grid(columns: Sequence[Column], lines: Sequence[Line], caption: str) -> Grid:
    """Return a table of the app."""
    return Grid(Table(caption, [Head(column) for column in columns], [Row(line.cells, line.faded) for line in lines]))
