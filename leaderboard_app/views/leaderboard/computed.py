"""The board's columns whose values are only computed where they are shown: they build networks or read long records."""

from collections.abc import Mapping

from bench.catalog.suites import Suite
from bench.ranking.cells import EntryKey
from bench.reports.costs import entry_costs
from bench.reports.mixer_share import entry_mixer_shares
from db.store import Store
from leaderboard_app.data import load_audit, snapshot
from leaderboard_app.widgets.figures import bytes_text, duration_text
from leaderboard_app.widgets.grid import share

Cells = Mapping[EntryKey, str]


def cells(store: Store, suite: Suite, entries: tuple[EntryKey, ...], column: str) -> Cells:
    """Return the cells of one of the COMPUTED columns of a suite's table, at least those of some entries."""
    match column:
        case "mixer":
            return _mixers(store, suite, entries)
        case "audit flags":
            return _flags(store, suite)
        case _:
            return _costs(store, suite)[column]


def _mixers(store: Store, suite: Suite, entries: tuple[EntryKey, ...]) -> Cells:
    seen = snapshot(store)
    shares = seen.once(
        ("mixers", suite.name, entries), lambda: entry_mixer_shares(seen.runs, seen.standing, suite, entries)
    )
    return {entry: share(value) for entry, value in shares.items()}


def _flags(store: Store, suite: Suite) -> Cells:
    found: dict[EntryKey, str] = {}
    for entry in load_audit(store, suite.name):
        key = EntryKey(entry.model, entry.wrapper, entry.budget, entry.tuning, entry.settings)
        found[key] = ", ".join(dict.fromkeys(flag.name for flag in entry.flags))
    return found


def _costs(store: Store, suite: Suite) -> Mapping[str, Cells]:
    seen = snapshot(store)
    found = seen.once(("costs", suite.name), lambda: entry_costs(store.runs(), seen.standing, suite))
    return {
        "latency": {key: duration_text(each.step_seconds) for key, each in found.items() if each.step_seconds},
        "memory": {key: bytes_text(each.memory_bytes) for key, each in found.items()},
        "energy": {key: energy_text(each.joules) for key, each in found.items() if each.joules},
    }


def energy_text(joules: float) -> str:
    """Format an energy to three digits: 812 J, 4.21 kJ, 1.3 MJ."""
    for unit in ("J", "kJ", "MJ"):
        if joules < 1_000 or unit == "MJ":
            break
        joules /= 1_000
    return f"{joules:.3g} {unit}"
