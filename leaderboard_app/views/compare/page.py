"""Two to four entries of a suite side by side. The address is `compare?suite=…&entries=…&entries=…`."""

from collections.abc import Sequence

import streamlit as st

from bench.catalog.names import display_name
from bench.catalog.suites import SUITES, find_suite
from db.store import Store
from leaderboard_app.data import load_tiers, open_store, snapshot
from leaderboard_app.views.compare import diff, gaps, overlay, summary
from leaderboard_app.views.compare.entries import MOST, Contestants, contestants
from leaderboard_app.views.compare.sides import Sides
from leaderboard_app.widgets.address import choose_some, filtered
from leaderboard_app.widgets.text import plain

EMPTY = """
**No entry of {suite} yet.** An entry is an architecture at a parameter tier, with runs of the suite's tasks:

```
python -m bench suite --suite {suite} --models fru,lstm --seeds 5 --budget {tier}
```
"""


def render(store: Store) -> None:
    st.title("Compare", anchor=False)
    begun = load_tiers(store)
    name = filtered("Suite", sorted(SUITES, key=lambda suite: suite not in begun), "suite", what="suite")
    seen, suite = snapshot(store), find_suite(name)
    try:
        field = seen.once(("contestants", name), lambda: contestants(seen.runs, seen.standing, suite))
    except ValueError as error:
        st.error(f"{suite.name} can't be compared: {plain(error)}", icon=":material/error:")
        return
    if not field.table.entries:
        st.info(EMPTY.format(suite=name, tier=suite.tiers[0]))
        return
    words = field.by_words
    chosen = choose_some(f"Two to {MOST} entries; the others are compared with the first", list(words), "entries",
                         what="entry", most=MOST, shown=shown)  # fmt: skip
    if len(chosen) < 2:
        st.info("Choose two entries or more. An entry is: architecture, wrapper, parameter tier, tuning, settings.")
    else:
        _show(store, name, field, [words[each] for each in chosen])


def shown(entry: str) -> str:
    """Return an entry's id with the name that papers give its architecture."""
    model, _, rest = entry.partition(" ")
    return f"{display_name(model)} {rest}"


def _show(store: Store, suite: str, field: Contestants, indices: Sequence[int]) -> None:
    sides = Sides(tuple(field.table.entries[index] for index in indices))
    summary.show(store, suite, sides)
    st.header("Differences", anchor=False)
    gaps.show(field, indices, sides)
    st.header("On one task", anchor=False)
    task = filtered("Task", list(find_suite(suite).tasks), "task", what="task")
    runs = {name: field.runs.get((entry, task), []) for name, entry in zip(sides.names, sides.entries, strict=True)}
    if not any(runs.values()):
        st.info("None of these entries has a run of this task yet.")
        return
    st.subheader("Learning curves", anchor=False)
    overlay.show(store, sides, runs)
    st.subheader("Settings", anchor=False)
    diff.show(runs)


render(open_store())
