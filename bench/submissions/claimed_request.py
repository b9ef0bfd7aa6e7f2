"""Building our own request from a bundle's claim: no part of the claim is accepted unless it follows again."""

from typing import Any

from bench.bundle.errors import BundleError
from bench.bundle.read import Claim
from bench.catalog.registry import FoundTask, find_model, find_task
from bench.catalog.setting_sources import FLAG, is_preset, spent_on
from bench.common.text import assignments, word
from bench.runs.request import RunRequest, SettingFlags, build_request
from models.shared.wrappers import WRAPPERS


def claimed_task(claim: Claim) -> FoundTask:
    """Return the claimed task. Check that the names, versions and metrics of the claim are those of this code.

    Raises:
        BundleError: one of them is not.
        RequestError: a file of this project is broken.
    """
    record = claim.record
    found = find_task(record.task)
    spec = found.build().spec
    here = {
        "model": find_model(record.model).name,
        "task": spec.name,
        "task_version": spec.version,
    }
    for name, ours in here.items():
        if ours != getattr(record, name):
            raise BundleError(f"{name} is {getattr(record, name)!r}, here it is {ours!r}")
    if record.wrapper not in WRAPPERS:
        raise BundleError(f"there is no wrapper {record.wrapper!r}; there are {', '.join(WRAPPERS)}")
    if record.finished and {metric.name for metric in record.metrics.values()} != {spec.metric}:
        raise BundleError(f"the task's metric is {spec.metric}")
    if record.finished and record.metrics.keys() != {"train", "validation", "test", *spec.extra_tests}:
        raise BundleError(f"metrics of {', '.join(record.metrics)} are not those of the task's splits")
    return found


def claimed_request(claim: Claim) -> RunRequest:
    """Build the claimed run from the settings that its submitter chose. All other settings must follow from these.

    Raises:
        BundleError: the claimed settings, or the run's id, differ from what follows.
        RequestError: a setting is not legal.
    """
    record, settings = claim.record, claim.config.flat()
    tuned = {name: source for name, source in record.config_source.items() if is_preset(source)}
    flags = SettingFlags(
        assignments=assignments({name: settings[name] for name, own in record.config_source.items() if own == FLAG}),
        preset={name: settings[name] for name in tuned},
        spent=spent_on(tuned.values()),
        budget=record.budget,
        wrapper=record.wrapper,
    )
    request = build_request(find_model(record.model), find_task(record.task), flags, record.seed)
    _check_settings(request.config, claim.config.model_dump())
    if request.run_id != record.run_id:
        raise BundleError(f"run {record.run_id} is named by its content, which gives {request.run_id}")
    return request


def _check_settings(follows: dict[str, dict[str, Any]], stated: dict[str, dict[str, Any]]) -> None:
    for part, values in follows.items():
        for name in {**values, **stated[part]}:
            ours, theirs = (word(each[name]) if name in each else "nothing" for each in (values, stated[part]))
            if ours != theirs:
                raise BundleError(f"{name} is {theirs}; from the settings that were chosen follows {ours}")
