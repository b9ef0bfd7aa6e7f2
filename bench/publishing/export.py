"""Writing results as text, and the ranking that follows from them, so that `git diff` shows a reviewer what changes."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.catalog.suites import SUITES
from bench.common.whole_files import write_whole
from bench.probe.events import DEPENDENCY_LENGTH, TRAINING_LENGTH
from bench.publishing.import_published import RANKING, import_files
from bench.publishing.study_tables import export_studies
from bench.ranking.cells import EntryKey
from bench.ranking.contest import InTier
from bench.ranking.rows import Board
from bench.reports.board import ranked_board, wrappers_apart
from bench.reports.entries import entries_of
from bench.reproduce import fru_paper
from db.errors import DamagedError
from db.record import Record, read_file, to_text
from db.schema import OPEN, CurvePoint, Event, Run
from db.store import Store

MOST_POINTS = 20  # of a learning curve: enough to see it, and a diff of it can be read
CURVE_DIGITS = 4
DECIMALS = 6  # of the numbers of a ranking


def export(store: Store, folder: Path, *, model: str | None = None) -> list[Path]:
    """Write every entry of every suite to its file, along with the runs that the file already has; then the rankings.

    The tables of the studies that tuned for these suites are written, too.

    Experiments that `bench reproduce` ran at the paper's length have files, too, and so have the other runs that probes
    made. Left out are runs that have not ended, all other runs that belong to no suite or tier, and runs of a model
    that was given by its file's path.

    Args:
        model: write only the runs of this architecture.

    Returns:
        The written files, without the rankings.

    Raises:
        DamagedError: an existing file can't be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [*_entries(store, model), *_cells(store, model)]
    files += _rungs(store, model, [run for _, runs in files for run in runs])
    paths = []
    for file, runs in files:
        path = folder / file
        records = {record.run.run_id: record for record in read_file(path)} if path.exists() else {}
        for run in runs:
            records[run.run_id] = _newest(_record(store, run), records.get(run.run_id))
        write_whole(
            path, to_text(sorted(records.values(), key=lambda record: (record.run.task, record.run.seed))).encode()
        )
        paths.append(path)
    paths += export_studies(store, folder, model)
    _write_rankings(folder, rankings(folder))
    return paths


def _write_rankings(folder: Path, found: Mapping[str, Any]) -> None:
    """Write the rankings, and remove those of our suites and tiers that have none any more."""
    for suite in SUITES.values():
        for tier in suite.tiers:
            place = f"{suite.name}/{tier}"
            path = folder / place / RANKING
            if place in found:
                text = json.dumps(_rounded_off(found[place]), indent=1, allow_nan=False) + "\n"
                write_whole(path, text.encode())
            else:
                path.unlink(missing_ok=True)


def _entries(store: Store, model: str | None) -> Iterator[tuple[Path, list[Run]]]:
    """Yield the file of each entry of a suite, and its runs. A run of several entries is in the first one's file."""
    standing = store.standing()
    ended = [run for run in store.runs(model=model) if run.status != OPEN and "@" not in run.model]
    for suite in SUITES.values():
        groups = defaultdict(list)
        for run in ended:
            if run.budget in suite.tiers and (entries := entries_of(suite, standing, run)):
                groups[entries[0]].append(run)
        for entry, runs in sorted(groups.items()):
            yield Path(suite.name, entry.tier, f"{_file_stem(entry)}.json"), runs


def _cells(store: Store, model: str | None) -> Iterator[tuple[Path, list[Run]]]:
    """Yield the file of each experiment of the FRU paper, by each protocol, and its runs."""
    for experiment in fru_paper.experiments():
        for protocol in experiment.protocols:
            runs = fru_paper.recorded(experiment, protocol, store)
            if runs and model in (None, experiment.model):
                yield Path(fru_paper.NAME, experiment.task, f"{experiment.stem}-{protocol}.json"), runs


def _rungs(store: Store, model: str | None, published: Iterable[Run]) -> Iterator[tuple[Path, list[Run]]]:
    """Yield the file of each probe that makes runs, and those of its runs that are in no other file."""
    elsewhere = {run.run_id for run in published}
    groups: defaultdict[Path, list[Run]] = defaultdict(list)
    for event in store.events():
        if event.kind != "probe" or event.data["probe"] not in (DEPENDENCY_LENGTH, TRAINING_LENGTH):
            continue
        run = store.result(event.run_id)
        if run and run.budget and "@" not in run.model and model in (None, run.model):
            of = event.data.get("family") or event.data["task"]
            path = Path(event.data["probe"], of, f"{run.model}-{run.wrapper}-{run.budget}.json")
            run_ids = {run.run_id, *(run_id for rung in event.data["rungs"] for run_id in rung["run_ids"])}
            groups[path] += filter(None, map(store.result, run_ids - elsewhere))
    yield from ((path, runs) for path, runs in groups.items() if runs)


def _file_stem(entry: EntryKey) -> str:
    by_hand = hashlib.sha256(entry.settings.encode()).hexdigest()[:8]
    return "-".join([entry.model, entry.wrapper, entry.tuning] + [by_hand] * bool(entry.settings))


def _record(store: Store, run: Run) -> Record:
    """A run's record, without the events about a result that it corrects.

    Events that say who asked for the run stay, since it is the same run.
    """
    told = [event for event in store.events(run.run_id) if event.run_row == run.id or event.kind == "asked"]
    return Record(run, _thinned(store.curves(run)), [event for event in told if not _is_mark(event)])


def _newest(record: Record, there: Record | None) -> Record:
    """Return a run's record from now on. A result that is in the file stays, except for corrections and new events."""
    if there is None or (record.run.corrects and record.run.attempt > there.run.attempt):
        return record
    if record.run.finished_at != there.run.finished_at:
        return there
    events = {(event.at, event.kind): event for each in (there, record) for event in each.events}
    return replace(there, events=[events[key] for key in sorted(events)])


def _is_mark(event: Event) -> bool:
    """Whether an event says only that this database read a file, which is no news for others."""
    return event.kind == "imported" and "file" in event.data


def _thinned(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    curves: defaultdict[str, list[CurvePoint]] = defaultdict(list)
    for point in points:
        curves[point.name].append(point)
    return [_rounded(curve[index]) for curve in curves.values() for index in _spread(len(curve))]


def _spread(count: int) -> list[int]:
    """Indices of at most MOST_POINTS out of `count` points, evenly spaced, with both ends."""
    most = min(count, MOST_POINTS)
    return [round(part * (count - 1) / max(1, most - 1)) for part in range(most)]


def _rounded(point: CurvePoint) -> CurvePoint:
    value = None if point.value is None else float(f"{point.value:.{CURVE_DIGITS}g}")
    return CurvePoint(name=point.name, epoch=point.epoch, step=point.step, value=value)


def _rounded_off(value: Any) -> Any:
    """Round all numbers, since machines differ in the last digits."""
    if isinstance(value, dict):
        return {name: _rounded_off(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded_off(part) for part in value]
    return round(value, DECIMALS) if isinstance(value, float) else value


def rankings(folder: Path) -> dict[str, dict[str, Any]]:
    """Rank a folder's files: `<suite>/<tier>` → the boards that follow from them, by wrapper.

    Suites of protocol 1 have one board of all wrappers instead, with the fields that it was published with.

    Raises:
        DamagedError: a file can't be read.
    """
    with TemporaryDirectory(prefix="bench-") as scratch:
        store = Store(str(Path(scratch) / "board.sqlite"))
        for outcome in import_files(store, [folder]):
            if outcome.problem:
                raise DamagedError(outcome.problem)
        runs, standing = store.runs(), store.standing()
        found = {
            f"{suite.name}/{tier}": {
                wrapper: board
                for wrapper in wrappers_apart(suite)
                if (board := ranked_board(runs, standing, suite, InTier(tier, wrapper))).rows
            }
            for suite in SUITES.values()
            for tier in suite.tiers
        }
    return {place: _document(boards) for place, boards in found.items() if boards}


def _document(boards: Mapping[str | None, Board]) -> dict[str, Any]:
    if None in boards:
        return _without(asdict(boards[None]), "learned")
    return {str(wrapper): asdict(board) for wrapper, board in boards.items()}


def _without(value: Any, name: str) -> Any:
    """Leave a field out of a document, wherever it is."""
    if isinstance(value, dict):
        return {key: _without(part, name) for key, part in value.items() if key != name}
    return [_without(part, name) for part in value] if isinstance(value, list | tuple) else value
