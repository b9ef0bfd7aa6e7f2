"""What runs inside the sandbox: the contract, a short training, and predictions for inputs whose answers are not there.

    python -m bench.contributing.inside_sandbox FILE.py

The folder /check holds data.npz (training and validation samples, test inputs) and two files to fill: report.jsonl, a
line for each check, and predictions.npy. The code under test runs in this process, so it could have written the report.
If the file defines a task, its rules are checked, and the report ends in a line with the hashes of its splits.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor

from bench.catalog.registry import FoundModel, FoundTask, find_contribution, find_task
from bench.common.errors import RequestError
from bench.contributing.rules import BrokenRule, check_model
from bench.contributing.task_rules import check_task, split_hashes
from bench.runs.network import build
from bench.runs.request import Execution, RunRequest, SettingFlags, build_request
from bench.training.attempt import Attempt
from datamodules._base import Samples, SequenceDataModule

FOLDER = Path("/check")
DATA, REPORT, PREDICTIONS = FOLDER / "data.npz", FOLDER / "report.jsonl", FOLDER / "predictions.npy"
TASK, BUDGET, STEPS = "digits", "10k", 300
IMPORT, TRAINING = "import", "training"
"""Names in the report, next to those of the contract's checks."""
IMPORT_MEND = "Define one model or one task. The sandbox has no network, no other files and nothing to write to."
TRAINING_MEND = "Train it by `bench run` on your own machine first."
BATCH = 60


def main(path: str) -> None:
    with REPORT.open("w", encoding="utf-8") as report:
        try:
            found = find_contribution(path)
        except RequestError as error:
            _say(report, IMPORT, BrokenRule(IMPORT, str(error), IMPORT_MEND))
            return
        _say(report, IMPORT, None)
        if isinstance(found, FoundModel):
            _check_model(report, found)
        else:
            _check_task(report, found)


def _check_model(report: TextIO, model: FoundModel) -> None:
    for name, finding in check_model(model.cls):
        _say(report, name, finding)
    try:
        predictions = _predict(model, dict(np.load(DATA)))
    except RequestError as error:
        _say(report, TRAINING, BrokenRule(TRAINING, str(error), TRAINING_MEND))
        return
    with PREDICTIONS.open("wb") as file:
        np.save(file, predictions.numpy(), allow_pickle=False)
    _say(report, TRAINING, None)


def _check_task(report: TextIO, task: type[SequenceDataModule]) -> None:
    broken = False
    for name, finding in check_task(task):
        _say(report, name, finding)
        broken |= finding is not None
    if not broken:
        report.write(json.dumps({"splits": split_hashes(task)}) + "\n")


def _say(report: TextIO, name: str, finding: BrokenRule | None) -> None:
    report.write(json.dumps([name, finding and finding.problem, finding and finding.mend]) + "\n")
    report.flush()


def _predict(model: FoundModel, arrays: Mapping[str, np.ndarray]) -> Tensor:
    """Train a network briefly, and return the classes that it predicts for the test inputs."""
    task = find_task(TASK)
    given = FoundTask(_given(task.cls, arrays), task.variant)
    flags = SettingFlags(assignments=[f"max_steps={STEPS}", "patience=none"], budget=BUDGET)
    request = build_request(model, given, flags, seed=0)
    folder = Path.cwd() / "attempt"
    folder.mkdir()
    ending = Attempt(request, Execution(accelerator="cpu"), folder, watchers=[]).train()
    if ending.status != "finished":
        raise RequestError(f"{ending.status}: {ending.reason}")
    return _answers(request, folder / "best.ckpt", torch.from_numpy(arrays["test_x"]))


def _given(task: type[SequenceDataModule], arrays: Mapping[str, np.ndarray]) -> type[SequenceDataModule]:
    class Given(task):  # type: ignore[valid-type,misc]
        """The task with the samples of `arrays`."""

        def make(self, split: str) -> Samples:
            return Samples(*(torch.from_numpy(arrays[f"{split}_{part}"]) for part in "xy"))

    return Given


@torch.inference_mode()
def _answers(request: RunRequest, checkpoint: Path, x: Tensor) -> Tensor:
    network = build(request.model.cls, request.wrapper, request.settings, request.spec)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
    return torch.cat([network.eval()(batch).argmax(-1) for batch in x.split(BATCH)])


if __name__ == "__main__":
    main(sys.argv[1])
