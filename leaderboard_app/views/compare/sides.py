"""The name and the look of each compared entry, in every table and chart of the page."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from bench.catalog.names import display_name
from bench.ranking.cells import EntryKey
from leaderboard_app.widgets.curves import DASHES
from leaderboard_app.widgets.marks import COLOURS, SHAPES

FIELDS = ("wrapper", "tier", "tuning", "settings")


@dataclass(frozen=True)
class Sides:
    """The entries, in the order in which they were chosen."""

    entries: tuple[EntryKey, ...]

    @property
    def names(self) -> list[str]:
        """Return each entry's architecture, followed by the fields in which the entries differ."""
        differing = [field for field in FIELDS if len({getattr(entry, field) for entry in self.entries}) > 1]
        return [
            " · ".join(filter(None, [display_name(entry.model), *(getattr(entry, field) for field in differing)]))
            for entry in self.entries
        ]

    def colour(self, names: Sequence[str], legend: alt.Legend | None = None) -> alt.Color:
        """Colour entries in order: those of one architecture or family, alike on other pages, are told apart here."""
        scale = alt.Scale(domain=names, range=list(COLOURS[: len(names)]))
        return alt.Color("entry:N", scale=scale, legend=legend)

    def shape(self, names: Sequence[str], legend: alt.Legend | None = None) -> alt.Shape:
        scale = alt.Scale(domain=names, range=list(SHAPES[: len(names)]))
        return alt.Shape("entry:N", scale=scale, legend=legend)

    def dash(self, names: Sequence[str], legend: alt.Legend | None = None) -> alt.StrokeDash:
        scale = alt.Scale(domain=names, range=list(DASHES[: len(names)]))
        return alt.StrokeDash("entry:N", scale=scale, legend=legend)
