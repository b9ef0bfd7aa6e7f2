"""Published values next to measured ones, from the runs in the store."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from bench.reproduce import fru_paper
from bench.reproduce.fru_paper import Experiment
from bench.runs.network import count_on_meta
from bench.runs.request import RunRequest
from datamodules._spec import Continuous, Label, TaskSpec, Tokens, Value
from db.store import Store


@dataclass(frozen=True)
class Entry:
    """An experiment and its requested runs, by protocol: "ours", "authors"."""

    experiment: Experiment
    runs: dict[str, list[RunRequest]]

    @property
    def first(self) -> RunRequest:
        return next(iter(self.runs.values()))[0]


def document(entries: Sequence[Entry], skipped: dict[str, str], store: Store) -> dict[str, Any]:
    """Return everything that `bench reproduce` prints.

    Args:
        skipped: task → why its data are unavailable here.
    """
    every = [run for entry in entries for runs in entry.runs.values() for run in runs]
    return {
        "paper": {"title": fru_paper.TITLE, "url": fru_paper.URL, "code": fru_paper.CODE, "note": fru_paper.TRIES},
        "cells": [_row(entry, skipped.get(entry.experiment.task), store) for entry in entries],
        "skipped": [
            {"task": task, "reason": reason, "command": f"python -m bench reproduce {fru_paper.NAME} --only {task}"}
            for task, reason in skipped.items()
        ],
        "missing": sum(store.result(run.run_id) is None for run in every),
    }


def _row(entry: Entry, skipped: str | None, store: Store) -> dict[str, Any]:
    experiment, first = entry.experiment, entry.first
    published, epochs = experiment.published(), first.settings.training.epochs
    return {
        "task": experiment.task,
        "model": experiment.model,
        "name": experiment.name,
        "metric": first.spec.metric,
        "epochs": epochs,
        "paper_epochs": experiment.epochs,
        "is_paper_length": epochs == experiment.epochs,
        "settings": experiment.settings,
        "published": {name: published[name] for name in ("value", "source", "reason")},
        **{
            f"{name}_protocol": measured(entry.runs.get(protocol, []), published["value"], store)
            for name, protocol in (("authors", "authors"), ("our", "ours"))
        },
        "params": _params(experiment, first, published["params"]),
        "skipped": skipped,
    }


def measured(requests: Sequence[RunRequest], published: float | None, store: Store) -> dict[str, Any] | None:
    """Summarize the recorded runs of one protocol: the mean of those that finished, and how many did not.

    `difference` is the mean less the published value, null without either. Return None where no runs are requested.
    """
    if not requests:
        return None
    runs = [run for request in requests if (run := store.result(request.run_id))]
    values = [run.metric_value for run in runs]
    finished = [value for value in values if value is not None]
    mean = fmean(finished) if finished else None
    return {
        "value": mean,
        "difference": None if mean is None or published is None else mean - published,
        "values": values,
        "seeds": [run.seed for run in runs],
        "failed": len(values) - len(finished),
        "missing": len(requests) - len(runs),
        "chance": requests[0].spec.chance,
        "run_ids": [run.run_id for run in runs],
    }


def _params(experiment: Experiment, request: RunRequest, published: int | None) -> dict[str, Any]:
    counts = count_on_meta(request.model.cls, request.wrapper, request.settings, request.spec)
    theirs = experiment.params_by_authors_code(*_widths(request.spec))
    return {
        **asdict(counts),
        "total": counts.total,
        "authors_code": theirs,
        "difference_to_authors_code": counts.total - theirs,
        "published": published,
        "difference": None if published is None else counts.total - published,
    }


def _widths(spec: TaskSpec) -> tuple[int, int, int]:
    """The widths of the input (0 for tokens) and of the output, and the vocabulary (0 for continuous input)."""
    inputs = spec.input.width if isinstance(spec.input, Continuous) else 0
    vocabulary = spec.input.vocabulary if isinstance(spec.input, Tokens) else 0
    match spec.output:
        case Label(outputs) | Value(outputs):
            return inputs, outputs, vocabulary
        case _:
            raise ValueError(f"the paper has no task with the output {spec.output}")
