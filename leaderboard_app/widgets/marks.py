"""How an architecture looks in every chart: one colour for its family, one shape among those that share the colour.

The colours are distinguishable for readers with any of the three kinds of colour blindness (OKLab distance ≥ 0.11 after
Machado et al. 2009). Their contrast with a white and with a dark page is 3:1 or more (WCAG 2.1, 1.4.11). Shapes and
labels repeat what the colours say.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import altair as alt

from bench.reports.listings import model_facts

COLOURS = ("#3355FF", "#CC0011", "#999944", "#AA22BB", "#3399EE", "#CC66AA")
UNKNOWN = "#666666"
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
LABEL = "#808080"  # legible on white and on black


class Mark(NamedTuple):
    colour: str
    shape: str


def mark(model: str) -> Mark:
    """Return an architecture's mark, the same in every chart; grey if the architecture is not registered."""
    return _marks().get(model, Mark(UNKNOWN, SHAPES[0]))


@lru_cache(maxsize=1)
def _marks() -> dict[str, Mark]:
    facts = model_facts()
    families = sorted({each.family for each in facts.values()})
    marks: dict[str, Mark] = {}
    for name in sorted(facts):
        colour = COLOURS[families.index(facts[name].family) % len(COLOURS)]
        rivals = sum(known.colour == colour for known in marks.values())
        marks[name] = Mark(colour, SHAPES[rivals % len(SHAPES)])
    return marks


def colour_scale(models: Iterable[str]) -> alt.Scale:
    names = sorted(set(models))
    return alt.Scale(domain=names, range=[mark(name).colour for name in names])


def shape_scale(models: Iterable[str]) -> alt.Scale:
    names = sorted(set(models))
    return alt.Scale(domain=names, range=[mark(name).shape for name in names])
