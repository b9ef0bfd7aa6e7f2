"""What a sceptic would point at in an entry, and why it matters."""

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bench.audit.audited import AuditedCell, AuditedEntry, Flag
from bench.common.protocol import PROTOCOL
from bench.runs.dead_starts import MOST_DEAD
from models.shared.contract import LEAST_UNITS
from models.shared.training import Training

DEFAULT_RATE = Training().lr
LEAST_FILL = 0.9
LEAST_MIXER = 0.4
"""In two residual blocks at 10k, a GRU's share is 0.45: the blocks' own maps take the rest."""
MOST_LOST = 30.0
"""Points that another learning rate may cost before so few trials are a gamble."""
LEAST_OVER_NONE = 5.0
"""Points of score that a mixer should add to what the block does alone."""
FORMER = Path(__file__).parent / "protocol_1.toml"

MEANINGS = {
    "few-units": f"fewer than {LEAST_UNITS} units, statistics, states or channels",
    "dead-starts": f"more than {MOST_DEAD:.0%} of networks get no gradient, or answer all inputs alike",
    "seeds-disagree": "some seeds learned the task and others did not",
    "defaults-won": "tuning chose the defaults",
    "edge": "tuning chose a value near an end of its range",
    "same-draw": "tuning chose a learning rate that other architectures drew, too",
    "narrow-rate": f"a third or three times the learning rate costs more than {MOST_LOST:.0f} points",
    "like-none": f"less than {LEAST_OVER_NONE:.0f} points above the block without a mixer",
    "small-mixer": f"the mixers have less than {LEAST_MIXER:.0%} of the parameters",
    "tier-not-filled": f"less than {LEAST_FILL:.0%} of the tier is used",
    "mean-pooling": "all steps are averaged, which solves some tasks without any mixer",
    "deviation": "a deviation from the authors' code that is to be mended",
    "old-model": "what was wrong with the model when protocol 1 was current",
    "old-protocol": "recorded by an older protocol",
}
"""Flag → where it is raised."""


def of(entry: AuditedEntry) -> Iterator[Flag]:
    """Yield an entry's flags: those of the whole, then those of its tasks."""
    if entry.protocol != PROTOCOL:
        yield Flag("old-protocol", f"recorded by protocol {entry.protocol}, without warm-up and a common block")
        for what in former_faults().get(entry.model, []):
            yield Flag("old-model", what)
    for part, why in entry.deviations.items():
        if "to be mended" in why.lower():
            yield Flag("deviation", f"{part}: {why}")
    for cell in entry.cells:
        for flag in _of_cell(cell):
            yield Flag(flag.name, f"{cell.task}: {flag.what}")


def _of_cell(cell: AuditedCell) -> Iterator[Flag]:
    for name, number in cell.units.items():
        if number < LEAST_UNITS:
            yield Flag("few-units", f"{name} is {number}")
    if cell.pooling == "mean":
        yield Flag("mean-pooling", "all steps are averaged, which solves some tasks without any mixer")
    if cell.fill < LEAST_FILL:
        yield Flag("tier-not-filled", f"it uses {cell.fill:.0%} of the tier")
    if cell.mixer_share is not None and cell.mixer_share < LEAST_MIXER:
        yield Flag("small-mixer", f"the mixers have {cell.mixer_share:.0%} of the parameters")
    if 0 < cell.learned < 1:
        yield Flag("seeds-disagree", f"{round(cell.learned * cell.seeds)} of {cell.seeds} seeds learned")
    if cell.dead is not None and cell.dead > MOST_DEAD:
        yield Flag("dead-starts", f"{cell.dead:.0%} of networks are dead at the start")
    if cell.rate_sensitivity is not None and cell.rate_sensitivity > MOST_LOST:
        yield Flag("narrow-rate", f"it loses {cell.rate_sensitivity:.0f} points at a third or three times its rate")
    if cell.defaults_won:
        yield Flag("defaults-won", "tuning chose the defaults")
    for name in cell.at_edge:
        yield Flag("edge", f"{name} is {cell.chosen[name]:.3g}, at an end of its range")
    if cell.same_rate_as:
        others = f"{cell.same_rate_as} cells of other architectures"
        yield Flag("same-draw", f"lr {cell.chosen['lr']:.3g} was also drawn for {others}")
    if cell.over_none is not None and cell.over_none < LEAST_OVER_NONE:
        yield Flag("like-none", f"{cell.over_none:.1f} points above the block without a mixer")


@cache
def former_faults() -> dict[str, list[str]]:
    """Return what was wrong with models when protocol 1 was current."""
    return tomllib.loads(FORMER.read_text(encoding="utf-8"))["faults"]
