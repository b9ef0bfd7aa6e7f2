"""What a study has found so far: the best settings, and the run with them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial

from bench.catalog.setting_sources import from_preset, spent
from bench.runs.commands import run_command
from bench.runs.request import RunRequest, recorded_sources
from bench.tuning.search import Tuning
from bench.tuning.settled import best_trials, overview, settled


def weights_path(folder: Path, number: int | str) -> Path:
    """Return the path of a trial's weights in a study's folder. Only the best trials have such a file."""
    return folder / f"trial-{number}.safetensors"


def report(tuning: Tuning, study: Study, folder: Path) -> dict[str, Any]:
    """Return what `bench tune` prints: the best of the study, and the count of its trials.

    Args:
        folder: the study's folder, where the weights of the best are.
    """
    front = [_result(trial, weights_path(folder, trial.number)) for trial in best_trials(study)]
    return {
        **overview(study),
        "model": tuning.base.model.name,
        "wrapper": tuning.base.wrapper.name,
        "task": tuning.base.spec.name,
        "budget": tuning.base.budget,
        "metric": tuning.base.spec.metric,
        "best": front[0] if front else None,
        "command": run_command(best_request(tuning, study)) if front else None,
        **({"front": front} if tuning.has_front else {}),
    }


def _result(trial: FrozenTrial, weights: Path) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "value": trial.values[0],
        "config": trial.user_attrs["config"],
        "params": trial.user_attrs["params"],
        "weights": str(weights) if weights.exists() else None,
    }


def best_settings(tuning: Tuning, study: Study) -> dict[str, Any]:
    """Return the best trial's settings that the user fixed or the study chose.

    All other settings are defaults or follow from the budget.
    """
    return best_trials(study)[0].user_attrs["chosen"] | tuning.fixed


def best_request(tuning: Tuning, study: Study) -> RunRequest:
    """Return the run of seed 0 with the best settings."""
    best, base = best_trials(study)[0], tuning.base
    changes = best_settings(tuning, study)
    settings = tuning.settings(changes, best.params.get("max_params"))
    if tuning.has_front:  # there is no tier from which the sizes follow, so they are settings like the others
        before = base.settings.flat()
        changes |= {name: value for name, value in settings.flat().items() if value != before[name]}
    words = spent(len(settled(study)), base.settings.training.length)
    sources = dict.fromkeys(changes, from_preset(words)) | base.sources
    return replace(base, settings=settings, sources=recorded_sources(settings.to_dict(), sources))
