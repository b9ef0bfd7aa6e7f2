"""Comparing a claim with all other known runs: predictions copied from another run, seeds left out."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.bundle.read import Claim
from db.store import Store

MOST_SHOWN = 10
LENGTH = {"epochs", "max_steps", "patience"}
"""Settings that say how long training may last: runs that differ in nothing else may choose the same checkpoint."""


def copied(claims: Sequence[Claim], store: Store) -> Iterator[tuple[str, str]]:
    """Yield the run_id of each claim that has the predictions of another run, here or in the bundle, and that run's.

    Runs that differ only in how long they train may agree. Predictions that are all right or all the same are left out,
    since many runs can have them.
    """
    suspects = [claim for claim in claims if claim.record.finished and not _is_common(claim)]
    known = {(run.facts["predictions"]["test"], _origin(run, run.config)): run.run_id
             for run in store.runs() if "predictions" in run.facts}  # fmt: skip
    own = {claim.record.run_id: _key(claim) for claim in suspects}
    known |= {key: run_id for run_id, key in own.items()}
    for run_id, (print_, origin) in own.items():
        others = [other for key, other in known.items() if key[0] == print_ and key[1] != origin]
        if others:
            yield run_id, others[0]


def _key(claim: Claim) -> tuple[str, str]:
    return claim.fingerprints["test"], _origin(claim.record, claim.config.model_dump())


def _origin(run: Any, config: Mapping[str, Mapping[str, Any]]) -> str:
    """Everything that decides what a network predicts, except how long its training may last.

    A draft that was run by the path of its file has a hash in its name. Its bundle lacks the hash, so it is left out.
    """
    settings = {name: value for part in config.values() for name, value in part.items() if name not in LENGTH}
    return json.dumps([run.model.partition("@")[0], run.wrapper, run.task, run.seed, settings], sort_keys=True)


def _is_common(claim: Claim) -> bool:
    test, predictions = claim.record.metrics["test"], claim.predictions["test"]
    return (test.name, test.value) == ("accuracy", 1.0) or bool(np.all(predictions == predictions[:1]))


def gaps(claims: Sequence[Claim], store: Store) -> Iterator[tuple[str, str]]:
    """Yield the first claim's run_id of each cell that lacks seeds, and the seeds neither here nor in the bundle."""
    seeds: defaultdict[str, set[int]] = defaultdict(set)
    for run in store.runs():
        seeds[_cell(run, run.config)].add(run.seed)
    first: dict[str, str] = {}
    for claim in claims:
        cell = _cell(claim.record, claim.config.model_dump())
        seeds[cell].add(claim.record.seed)
        first.setdefault(cell, claim.record.run_id)
    for cell, run_id in first.items():
        missing = sorted(set(range(max(seeds[cell]))) - seeds[cell])
        if missing:
            yield run_id, ", ".join(map(str, missing[:MOST_SHOWN]))


def _cell(run: Any, config: Mapping[str, Any]) -> str:
    """Everything that defines a run, except its seed."""
    parts = [run.model, run.wrapper, run.task, run.task_version, run.protocol, run.budget, config]
    return json.dumps(parts, sort_keys=True)
