"""What runs inside the sandbox: the contract, a short training, and predictions for inputs whose answers are not there.

    python -m bench.contributing.inside_sandbox MODEL.py

The folder /check holds data.npz (training and validation samples, test inputs) and two files to fill: report.jsonl, a
line for each check, and predictions.npy. The code under test runs in this process, so it could have written the report.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor

from bench.catalog.registry import FoundModel, FoundTask, find_model_or_file, find_task
from bench.common.errors import RequestError
from bench.contributing.rules import BrokenRule, check_model
from bench.runs.network import build
from bench.runs.request import Execution, RunRequest, SettingFlags, build_request
from bench.training.attempt import Attempt
from datamodules._base import Samples, SequenceDataModule

FOLDER = Path("/check")
DATA, REPORT, PREDICTIONS = FOLDER / "data.npz", FOLDER / "report.jsonl", FOLDER / "predictions.npy"
TASK, BUDGET, STEPS = "digits", "10k", 300
TRAINING = "training"
"""The training's name in the report, next to the names of the contract's checks."""
BATCH = 60


def main(path: str) -> None:
    arrays = dict(np.load(DATA))
    with REPORT.open("w") as report:
        try:
            model = find_model_or_file(path)
            for name, finding in check_model(model.cls):
                _say(report, name, finding)
            predictions = _predict(model, arrays)
        except RequestError as error:
            _say(
                report, TRAINING, BrokenRule(TRAINING, str(error), "Train it by `bench run` on your own machine first.")
            )
            return
        with PREDICTIONS.open("wb") as file:
            np.save(file, predictions.numpy(), allow_pickle=False)
        _say(report, TRAINING, None)


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
