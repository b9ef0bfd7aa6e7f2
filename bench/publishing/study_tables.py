"""Tables of tuning studies beside the published runs: a file for each architecture in a wrapper and a tier.

`studies/<tier>/<model>-<wrapper>.json` holds the trials of the suites' studies as `db.trial_record` writes them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.catalog.suites import SUITES
from bench.common.whole_files import write_whole
from db.schema import Trial
from db.store import Store
from db.trial_record import news, read_file, to_text

if TYPE_CHECKING:
    from optuna import Study

FOLDER = "studies"


def is_study_file(path: Path) -> bool:
    return path.resolve().parent.parent.name == FOLDER


def study_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if is_study_file(path))


def export_studies(store: Store, folder: Path, model: str | None) -> list[Path]:
    """Write the trials that have ended, along with those that the files already have.

    Published are the studies that tuned for a suite, with its training and no other setting held. Studies of a model
    that was given by its file's path are left out, as its runs are.

    Args:
        model: write only the studies of this architecture.

    Returns:
        The written files.

    Raises:
        DamagedError: an existing file can't be read.
        StoreError: the studies can't be read.
    """
    held: dict[Path, list[Trial]] = {}
    for source in (store.trials(), own_trials(store)):
        for path, trials in _by_file(folder, source).items():
            if model in (None, trials[0].model):
                there = held.setdefault(path, read_file(path) if path.exists() else [])
                there += news(there, trials)
    for path, trials in held.items():
        write_whole(path, to_text(trials).encode())
    return sorted(held)


def _by_file(folder: Path, trials: Iterable[Trial]) -> dict[Path, list[Trial]]:
    files: defaultdict[Path, list[Trial]] = defaultdict(list)
    for trial in trials:
        files[folder / FOLDER / trial.budget / f"{trial.model}-{trial.wrapper}.json"].append(trial)
    return files


def own_trials(store: Store) -> Iterator[Trial]:
    """Yield the trials of the studies that were made next to this database, where any can be read."""
    if find_spec("optuna") is None:
        return
    from bench.tuning.storage import Studies

    for study in Studies(store.address, read_only=True).all():
        about = study.user_attrs.get("about")
        if about and _is_of_a_suite(about):
            yield from _trials(study, {name: value for name, value in about.items() if name != "held"})


def _is_of_a_suite(about: dict[str, Any]) -> bool:
    return "@" not in about["model"] and any(
        suite.protocol == about["protocol"]
        and about["budget"] in suite.tiers
        and suite.tasks.get(about["task"]) == about["held"]
        for suite in SUITES.values()
    )


def _trials(study: "Study", about: dict[str, Any]) -> Iterator[Trial]:
    from bench.tuning.settled import STATES, settled

    for trial in settled(study):
        value = trial.values[0] if trial.values and isfinite(trial.values[0]) else None
        assert trial.datetime_complete is not None
        yield Trial(
            **about,
            study=study.study_name,
            number=trial.number,
            state=STATES[trial.state],
            reason=trial.user_attrs.get("reason"),
            value=value,
            steps=trial.user_attrs.get("steps", 0),
            settings=trial.user_attrs.get("chosen", trial.params),
            params_total=trial.user_attrs.get("params", {}).get("total"),
            finished_at=trial.datetime_complete.astimezone(UTC),  # Optuna's are local
        )
