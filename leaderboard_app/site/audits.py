"""The pages of the audit: one for each suite and tier that has entries."""

from collections.abc import Iterator

from bench.audit.audited import AuditedEntry
from bench.audit.entries import audit
from bench.catalog.suites import find_suite
from bench.common.text import counted
from db.store import Store
from leaderboard_app.data import load_tiers, snapshot
from leaderboard_app.site import addresses
from leaderboard_app.site.body import Body, Details, Heading, Rows, Section, Text, grid
from leaderboard_app.site.pages import File
from leaderboard_app.views.audit import entries
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.tables import link
from leaderboard_app.widgets.text import plain

INTRO = (
    "What a sceptic would ask of each entry. A flag is no verdict: it names something that its owner should explain."
)


def files(store: Store) -> Iterator[File]:
    tiers, seen = load_tiers(store), snapshot(store)
    places = [(suite, tier) for suite, own in tiers.items() for tier in own]
    runs, events, trials = store.runs(), store.events(), store.trials()
    audited = {suite: audit(runs, seen.standing, events, trials, find_suite(suite)) for suite in tiers}
    for place, (suite, tier) in enumerate(places):
        path = addresses.path_of(page_url("audit", suite=suite, tier=tier))
        for where in [path] + [addresses.LISTS["audit"]] * (place == 0):
            yield from _page(where, places, suite, [entry for entry in audited[suite] if entry.budget == tier], tier)
    if not places:
        body = Body(addresses.LISTS["audit"])
        body.add(Text("**No entries yet.** A suite's runs in a parameter tier make some."))
        yield from body.files("Audit", "audit")


def _page(path: str, places: list[tuple[str, str]], suite: str, found: list[AuditedEntry], tier: str) -> Iterator[File]:
    body = Body(path)
    body.add(Text(INTRO))
    body.add(Text(" · ".join(link(f"{name} at {size}", "audit", suite=name, tier=size) for name, size in places)))
    body.add(Heading(f"{suite} at {tier}"), Text(entries.summary(found)))
    body.add(Rows(entries.kinds(found), "Kinds of flags"))
    lines = [entries.line(entry) for entry in found]
    body.add(Heading("Entries", 3), grid(entries.COLUMNS, lines, "Entries and their flags"))
    body.add(Heading("What was looked at", 3))
    for entry in found:
        flags = entries.flags(entry)
        shown: list[Section] = [Rows(flags, "Flags")] if flags else []
        shown.append(Rows(entries.looked_at(entry.cells), "What was looked at"))
        shown += [Text(note, "hint") for note in entries.notes(entry)]
        title = plain(f"{entries.name(entry)}: {counted(len(flags), 'flag')}")
        body.add(Details(title, shown, anchor=addresses.stem(entries.entry_id(entry))))
    yield from body.files("Audit", "audit")
