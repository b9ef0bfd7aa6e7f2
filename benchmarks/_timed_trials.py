"""Timing trials on Ray's workers: what `tune_workers.py` needs the extra `cluster` for."""

import statistics
import tempfile
import time
from pathlib import Path

from bench.catalog.registry import FoundModel, find_model, find_model_or_file, find_task
from bench.runs.request import Execution, SettingFlags, build_request
from bench.training.run import run
from bench.tuning.search import Tuning
from bench.tuning.session import Running, Session
from bench.tuning.storage import Studies
from bench.tuning.study import Owner
from bench.tuning.worker_pool import connected
from db.store import Store

CPU = Execution(accelerator="cpu")
SLEEPER = '''
import time
from dataclasses import dataclass
from torch import nn
from models.shared.contract import ModelConfig, Paper, SequenceModel

class Sleeper(SequenceModel):
    """Sleeps in place of computing."""

    paper = Paper("None", 2026, "https://example.org")
    family = "test"
    wrapper = "plain"

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        size: int = 4

        @classmethod
        def at_width(cls, width):
            return cls(size=width)

    def __init__(self, config, **place):
        super().__init__(config, **place)
        self.output_size, self.linear = config.size, nn.Linear(self.input_size, config.size)

    def forward(self, x_BTD, lengths_B=None):
        time.sleep({seconds} * self.training)
        return self.linear(x_BTD)
'''


class Clock:
    """Records when the first trial began and the last one ended."""

    began = ended_at = 0.0

    def turn(self, session: Session) -> None:
        if session.running and not self.began:
            self.began = min(running.began for running in session.running.values())

    def ended(self, session: Session, owner: Owner, trial: object) -> None:
        self.turn(session)
        self.ended_at = time.monotonic()

    def again(self, running: Running, reason: str) -> None:
        raise AssertionError(reason)

    left = again


def seconds(model: FoundModel, trials: int, workers: int) -> float:
    """Return the seconds that all the trials together take."""
    base = build_request(model, find_task("digits"), SettingFlags(assignments=["max_steps=20"]), seed=0)
    tuning, clock = Tuning(base=base, trials=trials, sampler="random", pruner="none"), Clock()
    with tempfile.TemporaryDirectory() as folder, connected(workers, 0, None) as pool:
        while pool.started < workers:
            assert not pool.events(1.0)
        session = Session([tuning], Studies(f"{folder}/b.sqlite"), CPU, clock, timeout=1e9, pool=pool)
        assert not session.run()
        assert session.done == trials
    return clock.ended_at - clock.began


def runs(model: FoundModel, count: int) -> float:
    """Make `count` runs in this process. Return the seconds that they take."""
    flags = SettingFlags(assignments=["max_steps=20"])
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"{folder}/b.sqlite")
        started = time.monotonic()
        for seed in range(count):
            assert run(build_request(model, find_task("digits"), flags, seed=seed), store, CPU).status == "finished"
        return time.monotonic() - started


def speed_up(trials: int, sleep: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sleeper.py"
        path.write_text(SLEEPER.format(seconds=sleep / 20), encoding="utf-8")
        model = find_model_or_file(str(path))
        alone = seconds(model, trials, 1) / trials
        print(f"1 worker : {alone:.2f} s a trial; it sleeps for {sleep:.1f} s of them")
        for workers in (2, 4):
            each = seconds(model, trials * workers, workers) / (trials * workers)
            print(f"{workers} workers: {each:.2f} s a trial, {alone / each:.2f} times as fast")


def overhead(trials: int, turns: int) -> None:
    model = find_model("gru")
    runs(model, 1)  # warm up
    costs = []
    for _ in range(turns):
        trial, plain = seconds(model, trials, 1) / trials, runs(model, trials) / trials
        print(f"a trial {trial:.2f} s, a run {plain:.2f} s, difference {trial - plain:+.2f} s")
        costs.append(trial - plain)
    print(f"median difference {statistics.median(costs):+.2f} s")
