"""How much of a network is the sequence mixer itself, and how much the block around it.

Records have the counts of core, embedding and readout. The core holds the block's own layers too, so the network is
built again, on the meta device, from the recorded settings.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from statistics import fmean
from typing import Any

import torch

from bench.catalog.registry import find_model, find_task, find_wrapper
from bench.catalog.suites import Suite
from bench.common.errors import RequestError
from bench.ranking.cells import EntryKey
from bench.reports.entries import runs_of_cells
from bench.runs.made_of import recorded_config
from bench.runs.network import Counts, count
from db.schema import Run
from db.standing import Standing
from models.shared.wrappers import Wrapper

PARTS = ("embedding", "core", "readout", "buffers")


def entry_mixer_shares(
    runs: Iterable[Run], standing: Standing, suite: Suite, wanted: Collection[EntryKey]
) -> dict[EntryKey, float]:
    """Return the mixers' share of the parameters of entries: the mean over their tasks.

    An entry is left out if one of its networks can't be built as it was.

    Args:
        wanted: the entries.
    """
    shares: defaultdict[EntryKey, list[float | None]] = defaultdict(list)
    for (entry, _), found in runs_of_cells(runs, standing, suite).items():
        if entry in wanted:
            shares[entry].append(mixer_share(found[0]))
    return {
        entry: fmean(known) for entry, each in shares.items() if (known := [s for s in each if s is not None]) == each
    }


def mixer_share(run: Run) -> float | None:
    """Return the mixers' share of a run's parameters: of the numbers that tiers limit, from 0 to 1.

    None where today's code has no such architecture, or builds a network of other counts than the recorded ones.
    """
    config = {part: run.config.get(part, {}) for part in ("model", "wrapper")}
    recorded = Counts(**{part: getattr(run, f"params_{part}") for part in PARTS})
    mixers = _numbers_in_mixers(run.model, run.wrapper, json.dumps(config, sort_keys=True), run.task, recorded)
    return None if mixers is None or not recorded.budgeted else mixers / recorded.budgeted


@lru_cache(maxsize=4096)
def _numbers_in_mixers(model: str, wrapper: str, config: str, task: str, recorded: Counts) -> int | None:
    """Learned numbers and saved buffers of a network's mixers; None where the network's counts are not the recorded."""
    try:
        network = _built(model, wrapper, json.loads(config), task)
    except (RequestError, ValueError, TypeError):  # no such model, or settings that its file no longer takes
        return None
    if count(network) != recorded:
        return None
    saved = {id(tensor): tensor for mixer in network.mixers() for tensor in mixer.state_dict(keep_vars=True).values()}
    return sum(tensor.numel() for tensor in saved.values())


def _built(model: str, wrapper: str, config: Mapping[str, Mapping[str, Any]], task: str) -> Wrapper:
    cls, around, spec = find_model(model).cls, find_wrapper(wrapper), find_task(task).build().spec
    with torch.device("meta"):
        return around(
            cls, recorded_config(cls.Config, config["model"]), spec, recorded_config(around.Config, config["wrapper"])
        )
