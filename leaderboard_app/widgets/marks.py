"""How an architecture looks in every chart: in the colour of its family. Floors are grey.

Charts that compare families draw each family in a shape of its own. Charts of a few architectures draw each of them in
a shape that it shares with none of its family.

The colours are distinguishable for readers with any of the three kinds of colour blindness (OKLab distance ≥ 0.11 after
Machado et al. 2009). Their contrast with a white and with a dark page is 3:1 or more (WCAG 2.1, 1.4.11). Shapes and
labels repeat what the colours say.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import cycle
from typing import NamedTuple

import altair as alt

from bench.catalog.families import FAMILIES
from bench.reports.listings import model_facts

COLOURS = ("#3355FF", "#CC0011", "#999944", "#AA22BB", "#3399EE", "#CC66AA")
UNKNOWN = "#666666"
STAR = "M0,-1L0.2,-0.3L0.9,-0.3L0.4,0.1L0.6,0.8L0,0.4L-0.6,0.8L-0.4,0.1L-0.9,-0.3L-0.2,-0.3Z"
SHAPES = (
    "circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left",
    STAR,
    "M0,-0.9L0.9,-0.3L0.5,0.7L-0.5,0.7L-0.9,-0.3Z",  # a pentagon
    "M0.5,-0.8L0.9,0L0.5,0.8L-0.5,0.8L-0.9,0L-0.5,-0.8Z",  # a hexagon
    "M-0.8,-0.9L0.8,-0.9L-0.8,0.9L0.8,0.9Z",  # an hourglass
    "M-0.9,-0.8L-0.9,0.8L0.9,-0.8L0.9,0.8Z",  # a bow tie
    "M-0.9,-0.5L-0.5,-0.9L0,-0.4L0.5,-0.9L0.9,-0.5L0.4,0L0.9,0.5L0.5,0.9L0,0.4L-0.5,0.9L-0.9,0.5L-0.4,0Z",  # an x
    "M-0.8,-0.9L0,-0.9L0,0.1L0.8,0.1L0.8,0.9L-0.8,0.9Z",  # an L
    "M-0.3,-1L0.3,-1L0.3,1L-0.3,1Z",  # a bar
)  # fmt: skip
"""Vega's own, and outlines as SVG paths within a square from −1 to 1."""
FAMILY_SHAPES = (
    "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",  # a disc
    "M-0.85,-0.85L0.85,-0.85L0.85,0.85L-0.85,0.85Z",  # a square
    "M0,-1.05L1,0.8L-1,0.8Z",  # a triangle
    "M0,-1.2L0.9,0L0,1.2L-0.9,0Z",  # a diamond
    "M-0.35,-1L0.35,-1L0.35,-0.35L1,-0.35L1,0.35L0.35,0.35L0.35,1L-0.35,1L-0.35,0.35L-1,0.35L-1,-0.35L-0.35,-0.35Z",
    "M0,1.05L1,-0.8L-1,-0.8Z",  # a triangle on its tip, after a cross
    "M-1,-0.3L1,-0.3L1,0.3L-1,0.3Z",  # a bar, for floors
)
"""Outlines of the families' marks, as SVG paths within a square from about −1 to 1."""
LABEL = "#808080"  # legible on white and on black


class Mark(NamedTuple):
    colour: str
    shape: str


def mark(model: str) -> Mark:
    """Return an architecture's mark, the same in every chart; grey if the architecture is not registered."""
    return _marks().get(model, Mark(UNKNOWN, SHAPES[0]))


def family_mark(family: str) -> Mark:
    """Return a family's mark; a grey star for what is not one of FAMILIES."""
    if family not in FAMILIES:
        return Mark(UNKNOWN, STAR)
    place = FAMILIES.index(family)
    return Mark((*COLOURS, UNKNOWN)[place], FAMILY_SHAPES[place])


@lru_cache(maxsize=1)
def _marks() -> dict[str, Mark]:
    facts = model_facts()
    names = {family: [name for name in sorted(facts) if facts[name].family == family] for family in FAMILIES}
    shapes = dict.fromkeys(FAMILIES, SHAPES) | {FAMILIES[-1]: SHAPES[1:]}  # what is unknown is a grey circle
    return {
        name: Mark(family_mark(family).colour, shape)
        for family in FAMILIES
        for name, shape in zip(names[family], cycle(shapes[family]))
    }


def colour_scale(models: Iterable[str]) -> alt.Scale:
    names = sorted(set(models))
    return alt.Scale(domain=names, range=[mark(name).colour for name in names])


def shape_scale(models: Iterable[str]) -> alt.Scale:
    names = sorted(set(models))
    return alt.Scale(domain=names, range=[mark(name).shape for name in names])
