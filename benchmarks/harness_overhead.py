"""Compare the harness with a bare PyTorch loop that does the same work: GRU(64) on digits, batch 64, one thread.

    python benchmarks/harness_overhead.py 2>/dev/null

Both sides train the same network on the same batches in the same order, evaluate the validation split after each epoch
and keep the best weights. They take turns. The script prints the ratio of each pair of turns, and the median. Seconds
are processor seconds, which other programs on the machine affect less.
"""

import argparse
import copy
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from bench.catalog.registry import find_model, find_task
from bench.runs.network import build
from bench.runs.request import Execution, RunRequest, SettingFlags, build_request
from bench.training.attempt import Attempt
from models.shared.training import build_optimizer

SETTINGS = ["hidden_size=64", "patience=none"]


def bare_loop(request: RunRequest) -> float:
    """Train with a loop in plain PyTorch. Return the seconds that it took."""
    torch.manual_seed(request.seed)
    training = request.settings.training
    data = request.task.build(order_seed=request.seed, batch_size=training.batch_size)
    network = build(request.model.cls, request.wrapper, request.settings, request.spec)
    train, validation = data.train_dataloader(), data.val_dataloader()
    optimizer, schedule = build_optimizer(network, [], training, training.epochs * len(train))
    best, best_weights = -1.0, None
    started = time.process_time()
    for epoch in range(training.epochs):
        train.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in train:
            optimizer.zero_grad()
            F.cross_entropy(network(batch.x), batch.y).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm or 0)
            optimizer.step()
            schedule.step()
        with torch.inference_mode():
            right = sum((network(batch.x).argmax(-1) == batch.y).sum().item() for batch in validation)
        if right > best:
            best, best_weights = right, copy.deepcopy(network.state_dict())
    assert best_weights is not None
    return time.process_time() - started


class TimedAttempt(Attempt):
    seconds = 0.0

    def _fit(self, *arguments: Any) -> None:
        started = time.process_time()
        super()._fit(*arguments)
        self.seconds = time.process_time() - started


def harness(request: RunRequest) -> float:
    """Train as `bench run` does. Return the seconds spent in Lightning's `fit`."""
    with tempfile.TemporaryDirectory() as folder:
        attempt = TimedAttempt(request, Execution(accelerator="cpu"), Path(folder))
        ending = attempt.run()
    assert ending.status == "finished", ending
    return attempt.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    os.environ["FORCE_COLOR"] = "1"  # draws the progress bar even if stderr is not a terminal: 2>/dev/null is fine
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    flags = SettingFlags(assignments=SETTINGS, epochs=options.epochs)
    request = build_request(find_model("gru"), find_task("digits"), flags, seed=0)
    bare_loop(request), harness(request)  # warm up
    pairs = [(harness(request), bare_loop(request)) for _ in range(options.pairs)]
    for ours, theirs in pairs:
        print(f"harness {ours:6.3f} s   bare loop {theirs:6.3f} s   ratio {ours / theirs:.3f}")
    print(f"median ratio {statistics.median(ours / theirs for ours, theirs in pairs):.3f}")


if __name__ == "__main__":
    main()
