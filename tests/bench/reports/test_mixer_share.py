"""The share of a network's parameters that the mixers have, counted by hand and on recorded runs."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from bench.catalog.registry import find_model, find_task, find_wrapper
from bench.catalog.suites import find_suite
from bench.ranking.cells import EntryKey
from bench.reports.mixer_share import entry_mixer_shares, mixer_share
from bench.runs.network import count_on_meta
from bench.runs.settings import Settings
from db.schema import Run
from db.standing import Standing
from tests.support.runs import make_run

QUICK = find_suite("quick-v1")


def recorded(wrapper: str, changes: dict[str, Any], model: str = "gru", task: str = "digits", **columns: Any) -> Run:
    """A run of a network with these settings, with the counts that training records."""
    cls, around = find_model(model).cls, find_wrapper(wrapper)
    settings = Settings.defaults(cls, around).updated(changes)
    counts = count_on_meta(cls, around, settings, find_task(task).build().spec)
    params = {f"params_{part}": number for part, number in asdict(counts).items()} | {"params_total": counts.total}
    config = settings.to_dict() | {"training": dict(QUICK.tasks[task])}
    return make_run(**{"model": model, "wrapper": wrapper, "task": task, "config": config} | params | columns)


def test_plain_layers_are_all_mixer_but_the_readout() -> None:
    # One GRU on one number a step: 3 (h² + h + 2h) = 3 (64 + 24) = 264 of 264 + (8 + 1) · 10 numbers.
    run = recorded("plain", {"hidden_size": 8, "depth": 1})
    assert (run.params_core, run.params_readout) == (264, 90)
    assert mixer_share(run) == pytest.approx(264 / 354)


def test_a_block_has_numbers_of_its_own() -> None:
    # In a stream of width 6, a GRU of 4 units has 3 (4 · 4 + 6 · 4 + 2 · 4) = 144 numbers, two of them 288.
    run = recorded("residual", {"hidden_size": 4, "width": 6, "depth": 2})
    assert mixer_share(run) == pytest.approx(288 / (run.params_total - run.params_embedding))
    assert run.params_core > 288


def test_the_mixer_none_has_no_numbers() -> None:
    assert mixer_share(recorded("residual", {"width": 6}, model="none")) == 0


def test_tokens_are_free_of_charge() -> None:
    run = recorded("residual", {"hidden_size": 4, "width": 6}, task="copy-100")
    assert run.params_embedding > 0
    assert mixer_share(run) == pytest.approx(288 / (run.params_total - run.params_embedding))


def test_a_network_that_is_no_longer_built_so_has_no_known_share() -> None:
    config = recorded("plain", {"hidden_size": 8}).config
    for changes in ({"params_core": 265}, {"model": "gru@1234abcd"}, {"task": "gone"}, {"wrapper": "third"},
                    {"config": config | {"model": {"hidden_size": 8, "gone": 1}}},
                    {"config": config | {"model": {"hidden_size": -8}}}):  # fmt: skip
        changed = recorded("plain", {"hidden_size": 8})
        for name, value in changes.items():
            setattr(changed, name, value)
        assert mixer_share(changed) is None


def test_an_entry_has_the_mean_of_its_tasks() -> None:
    runs = [
        recorded("plain", {"hidden_size": size}, task=task, budget="10k", run_id=f"{size:016x}")
        for size, task in ((8, "digits"), (16, "copy-100"))
    ]
    entry = EntryKey("gru", "plain", "10k", "defaults", "")
    shares = [mixer_share(run) or 0 for run in runs]
    suite = replace(QUICK, name="toy-v2")
    found = entry_mixer_shares(runs, Standing.of([]), suite, [entry])
    assert found == {entry: pytest.approx(sum(shares) / 2)}
    runs[0].params_core += 1
    assert entry_mixer_shares(runs, Standing.of([]), suite, [entry]) == {}
