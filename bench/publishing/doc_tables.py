"""The tables that documents show, each a function from the store to Markdown."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from bench.catalog.names import display_name
from bench.catalog.suites import find_suite
from bench.common.errors import RequestError
from bench.probe.events import DEPENDENCY_LENGTH, GRADIENT_FLOW, LENGTH_EXTRAPOLATION, TRAINING_LENGTH
from bench.probe.training import FACTORS
from bench.publishing.doc_figures import link
from bench.publishing.markers import looked_up
from bench.publishing.published_board import (
    board_rows,
    boards,
    counted,
    entry_label,
    name_of,
    no_runs,
    probe_command,
    probes,
    suite_command,
)
from bench.publishing.rivals import rivals
from bench.publishing.training_time import progress
from bench.ranking.rows import SuiteRow
from bench.reports.board_formats import rank_text, share_text
from bench.reproduce.fru_paper import Experiment, experiments, recorded
from db.schema import Run
from db.store import Store

NONE = "–"
FIGURE = "figure"
SECONDS = (5, 10, 20, 50, 100, 300)

Row = Mapping[str, str]


def render(store: Store, words: Sequence[str]) -> str:
    """Return the table or the figure that a marker's words name (followed by its arguments), as Markdown.

    Raises:
        RequestError: there is no such table or figure, or it takes other arguments.
    """
    if words[0] == FIGURE:
        return link(store, words[1:])
    table, arguments = looked_up("table", words, TABLES)
    return table(store, *arguments)


def top(store: Store, suite: str, tier: str, count: str, wrapper: str | None = None) -> str:
    """The first entries of a suite's tier: of the main contest, if it has several, or of a wrapper's.

    Raises:
        RequestError: the count is not a whole number.
    """
    if not count.isdecimal():
        raise RequestError(f"`top {suite} {tier} {count}`: {count!r} is not a number of rows, such as 5.")
    rows = _ranked(suite, boards(store, suite, tier, wrapper)[0].rows)
    return _table(rows[: int(count)], suite_command(suite, tier))


def board(store: Store, suite: str, tier: str, wrapper: str | None = None) -> str:
    """The ranked entries of a suite's tier, one contest after the other, and a sentence on the others."""
    entries = board_rows(store, suite, tier, wrapper)
    rows = _ranked(suite, entries)
    table = _table(rows, suite_command(suite, tier))
    others = [f"{entry_label(row)} {row.tasks_done} of {row.tasks_total}" for row in entries if row.rank_low is None]
    if not others:
        return table
    sentence = f"Not ranked, since some of their tasks lack five seeds: {', '.join(others)}."
    return f"{table}\n\n{sentence}" if rows else sentence


def _ranked(suite: str, entries: Iterable[SuiteRow]) -> list[Row]:
    """The rows of the ranked entries. Tables of protocol 1 stay as published, without the share that learned."""
    shows_learned = find_suite(suite).protocol > 1
    return [
        {
            "rank": rank_text(row),
            "architecture": entry_label(row),
            "score": _number(row.score, ".1f"),
            "95%": NONE if row.score_low is None else f"{row.score_low:.1f}–{row.score_high:.1f}",
            **({"learned": share_text(row.learned)} if shows_learned else {}),
            "parameters": f"{row.params:,.0f}",
            "seeds": str(row.seeds),
            "failed": str(row.failures),
        }
        for row in entries
        if row.rank_low is not None
    ]


def against(store: Store, suite: str, tier: str, model: str, wrapper: str | None = None) -> str:
    """By how much the others score higher than an architecture's best entry, with the interval and the p-value."""
    found = rivals(store, suite, tier, model, wrapper)
    rows = [
        {
            "architecture": entry_label(row),
            f"above {display_name(model)}": f"{rival.above.score:+.1f}",
            "95%": NONE if rival.above.low is None else f"{rival.above.low:+.1f} to {rival.above.high:+.1f}",
            f"p, of {len(found)}": "< 0.001" if rival.p < 0.001 else f"{rival.p:.3f}",
        }
        for row, rival in found
    ]
    return _table(rows, suite_command(suite, tier))


def scores(store: Store, suite: str, tier: str, wrapper: str | None = None) -> str:
    """Mean score and standard deviation over seeds. Rows are entries, columns are tasks."""
    rows = [
        {"architecture": entry_label(row)} | {each.task: _score(each) for each in row.tasks}
        for row in board_rows(store, suite, tier, wrapper)
    ]
    return _table(rows, suite_command(suite, tier))


def times(store: Store, suite: str, tier: str) -> str:
    """Seconds of training, the mean over the seeds that finished, on whatever machines made the runs."""
    found = find_suite(suite)
    seconds: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in counted(store):
        if found.includes(run) and run.budget == tier and run.status == "finished":
            seconds[f"{run.model} ({run.wrapper})"][run.task].append(run.train_seconds)
    rows = [
        {"architecture": name} | {task: _number(fmean(by[task]) if by[task] else None, ",.0f") for task in found.tasks}
        for name, by in sorted(seconds.items())
    ]
    return _table(rows, suite_command(suite, tier))


def training_time(store: Store, suite: str, tier: str, wrapper: str | None = None) -> str:
    """The score on validation after 5 to 300 seconds of training a task."""
    rows = [
        {"architecture": entry_label(each.row)} | {f"{seconds} s": f"{each.after(seconds):.1f}" for seconds in SECONDS}
        for each in progress(store, suite, tier, wrapper)
    ]
    return _table(rows, suite_command(suite, tier))


def fru_paper(store: Store) -> str:
    """Published next to measured values, for the experiments that were run at the paper's length."""
    rows = []
    for experiment in experiments():
        by_protocol = {protocol: _of_cell(store, experiment, protocol) for protocol in experiment.protocols}
        if any(by_protocol.values()):
            published = experiment.published()
            rows.append({
                "task": experiment.task,
                "architecture": experiment.name,
                "metric": next(run for runs in by_protocol.values() for run in runs).metric_name,
                "published": _number(published["value"], ".4g"),
                "authors' protocol": _spread(by_protocol.get("authors", [])),
                "our protocol": _spread(by_protocol["ours"]),
                "parameters": f"{next(run for runs in by_protocol.values() for run in runs).params_total:,}",
            })  # fmt: skip
    return _table(rows, "python -m bench reproduce fru-paper")


def gradient_flow(store: Store, task: str) -> str:
    """Norms at both ends of the sequence, at the shortest and the longest length that were measured."""
    rows = []
    for run, data in probes(store, GRADIENT_FLOW):
        if data["task"] == task:
            ends = {min(data["lengths"]), max(data["lengths"])}
            rows += [_flow_row(run, each) for each in data["measured"] if each["length"] in ends]
    return _table(rows, probe_command(task))


def _flow_row(run: Run, measured: Mapping[str, Any]) -> Row:
    gain, bounds = measured["state_gain"], measured["bounds"] or {}
    return {
        "architecture": name_of(run),
        "when": measured["when"],
        "T": f"{measured['length']:,}",
        "‖∂loss/∂x‖, last step": _number(measured["input"][0], ".2g"),
        "first step": _number(measured["input"][-1], ".2g"),
        "‖∂loss/∂u₀‖": _number(measured["initial_state"], ".2g"),
        "gain": NONE if gain is None else f"{_number(gain['low'], '.2g')} to {_number(gain['high'], '.2g')}",
        "bounds": f"{_number(bounds.get('lower'), '.2g')} to {_number(bounds.get('upper'), '.2g')}" if bounds else NONE,
    }


def dependency_length(store: Store, family: str) -> str:
    """The longest variant that is solved, the first that is not, and the utility on the latter."""
    rows = [
        {
            "architecture": name_of(run),
            "solved up to T": _number(data["longest_solved"], ","),
            "not solved at T": _number(data["first_unsolved"], ","),
            "utility there": next((f"{rung['utility']:.2f}" for rung in data["rungs"] if not rung["solved"]), NONE),
            "training": data["training"],
            "seeds": str(len(data["seeds"])),
        }
        for run, data in probes(store, DEPENDENCY_LENGTH)
        if data["family"] == family
    ]
    return _table(rows, probe_command(family))


def length_extrapolation(store: Store, task: str) -> str:
    """Utility at T, 2T and 4T."""
    rows = [
        {"architecture": name_of(run)}
        | {f"T = {each['length']:,}": f"{each['utility']:.3f}" for each in data["lengths"]}
        for run, data in probes(store, LENGTH_EXTRAPOLATION)
        if data["task"] == task
    ]
    return _table(rows, probe_command(task))


def training_length(store: Store, task: str) -> str:
    """Utility after one to eight times the suite's training, until the task is solved; seconds of the longest."""
    rows = []
    for run, data in probes(store, TRAINING_LENGTH):
        if data["task"] == task:
            reached = {each["factor"]: each for each in data["rungs"]}
            rows.append(
                {"architecture": name_of(run), "once": data["rungs"][0]["training"]}
                | {f"× {factor}": _number(reached.get(factor, {}).get("utility"), ".2f") for factor in FACTORS}
                | {"solved": f"× {data['solved_at']}" if data["solved_at"] else "no"}
                | {"seconds": f"{data['rungs'][-1]['seconds']:,.0f}", "seeds": str(len(data["seeds"]))}
            )
    return _table(rows, f"{probe_command(task)} --preset --probes {TRAINING_LENGTH} --seeds 5")


Table = Callable[..., str]
TABLES: dict[str, tuple[Table, tuple[str, ...]]] = {
    "top": (top, ("SUITE", "TIER", "COUNT", "[WRAPPER]")),
    "board": (board, ("SUITE", "TIER", "[WRAPPER]")),
    "against": (against, ("SUITE", "TIER", "MODEL", "[WRAPPER]")),
    "scores": (scores, ("SUITE", "TIER", "[WRAPPER]")),
    "times": (times, ("SUITE", "TIER")),
    "training-time": (training_time, ("SUITE", "TIER", "[WRAPPER]")),
    "fru-paper": (fru_paper, ()),
    GRADIENT_FLOW: (gradient_flow, ("TASK",)),
    DEPENDENCY_LENGTH: (dependency_length, ("FAMILY",)),
    LENGTH_EXTRAPOLATION: (length_extrapolation, ("TASK",)),
    TRAINING_LENGTH: (training_length, ("TASK",)),
}
"""Name → the table and its arguments; those in brackets may be left out."""


def _score(each: Any) -> str:
    if each.score is None:
        return NONE
    return f"{each.score:.1f}" if each.std is None else f"{each.score:.1f} ± {each.std:.1f}"


def _of_cell(store: Store, experiment: Experiment, protocol: str) -> list[Run]:
    return store.standing().counted(recorded(experiment, protocol, store))


def _spread(runs: Sequence[Run]) -> str:
    """Mean, standard deviation and count of the runs that finished, and how many did not."""
    values = [run.metric_value for run in runs if run.metric_value is not None]
    failed = f", {len(runs) - len(values)} failed" if len(values) < len(runs) else ""
    if not values:
        return f"{NONE}{failed}"
    deviation = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
    return f"{fmean(values):.4g}{deviation} ({len(values)} seed{'s' * (len(values) > 1)}{failed})"


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _table(rows: Iterable[Row], command: str) -> str:
    """Return a Markdown table or, without rows, the command that makes some."""
    rows = list(rows)
    if not rows:
        return no_runs(command)
    heading = list(rows[0])
    lines = [heading, ["---"] * len(heading), *([row.get(name, NONE) for name in heading] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
