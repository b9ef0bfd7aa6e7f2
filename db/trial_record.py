"""Trials of published studies, and their text form: {"format": 1, "studies": [...]}.

A study has the columns that its trials share, then `trials`, with a line for each.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from db.documents import columns, parse, parse_file, to_lines, typed
from db.schema import TRIAL_STATES, Trial

FORMAT = 1
SHARED = (
    "study", "protocol", "model", "wrapper", "task", "task_version", "budget", "metric_name", "higher_is_better",
)  # fmt: skip
NOT_WRITTEN = {"id", "source"}


def to_text(trials: Iterable[Trial]) -> str:
    """Return the document that holds the given trials, those of a study together and in their order."""
    studies: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for trial in sorted(trials, key=lambda trial: (trial.study, trial.number)):
        studies[trial.study].append(columns(trial, without=NOT_WRITTEN))
    documents = [
        {**{name: rows[0][name] for name in SHARED},
         "trials": [{name: value for name, value in row.items() if name not in SHARED} for row in rows]}
        for rows in studies.values()
    ]  # fmt: skip
    return to_lines({"format": FORMAT, "studies": documents}) + "\n"


def from_text(text: str) -> list[Trial]:
    """Return the trials of a document.

    Raises:
        DamagedError: the text is not such a document.
    """
    return parse(text, FORMAT, lambda document: [trial for study in document["studies"] for trial in _trials(study)])


def read_file(path: Path) -> list[Trial]:
    """Return the trials of a file.

    Raises:
        DamagedError: the file can't be read. The message has the file's name and the reason.
    """
    return parse_file(path, from_text)


def _trials(study: dict[str, Any]) -> list[Trial]:
    rows = study.pop("trials")
    trials = [Trial(**typed(Trial, {**study, **row}, without=NOT_WRITTEN)) for row in rows]
    numbers = [trial.number for trial in trials]
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"the study {study['study']!r} has two trials of one number")
    for trial in trials:
        if trial.state not in TRIAL_STATES:
            raise ValueError(f"state {trial.state!r} of a trial is none of {', '.join(TRIAL_STATES)}")
        if (trial.state == "finished" and trial.value is None) or (trial.state == "failed" and trial.value is not None):
            raise ValueError(f"trial {trial.number} of {trial.study!r} is {trial.state} with the value {trial.value}")
    return trials


def news(known: Iterable[Trial], more: Sequence[Trial]) -> list[Trial]:
    """Return the trials of `more` that `known` lacks.

    Where a study's trials differ from those known, it is another study that happens to have the same name, made on
    another machine: all of its trials are left out.
    """
    here = {(trial.study, trial.number): trial for trial in known}
    others = {trial.study for trial in more if not _agree(here.get((trial.study, trial.number)), trial)}
    return [trial for trial in more if trial.study not in others and (trial.study, trial.number) not in here]


def _agree(here: Trial | None, trial: Trial) -> bool:
    return here is None or columns(here, without=NOT_WRITTEN) == columns(trial, without=NOT_WRITTEN)
