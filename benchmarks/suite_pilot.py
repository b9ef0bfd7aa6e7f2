"""Show whether a suite's tasks tell architectures apart, before the suite is frozen.

    python benchmarks/suite_pilot.py            print the table of what is recorded
    python benchmarks/suite_pilot.py record     train what is missing
    python benchmarks/suite_pilot.py record --suite state-v1 --tasks a5 induction

Each model trains on each task at full length, by the code that trains trials: with the middle learning rate; where that
stays under 90, with the higher one; where that is no better and stays under 90 too, with the lower one; and with a
second seed at the best rate. If that brings its mean under the score of another rate, the second seed tries that one
too. The block without a mixer trains once. Every trial that ends is saved, so the command goes on where it was stopped.

A score is that of the board (0 to 100) on validation, with the best learning rate. A task is kept if architectures
vary at least five times as much as seeds (variances of scores), somebody reaches 90, and at least three stay under 50.
For images, which nobody solves with so few parameters and most learn in part, the variance is enough.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _recording import each_done, points, train

if TYPE_CHECKING:
    from datamodules._spec import TaskSpec

RECORDED = Path(__file__).resolve().parent / "suite_pilots"
MODELS = (
    "fru", "gru", "lstm", "s4d", "mamba", "mingru", "transformer", "lru", "s5", "rnn", "tcn", "indrnn",
    "gated-deltanet",
)  # fmt: skip
BUDGET, WRAPPER = "10k", "residual"
SEEDS = (10_000, 10_001)
MIDDLE, HIGHER, LOWER = 4e-3, 1e-2, 1.5e-3
IMAGES = ("digits-by-writer", "fashion-14")
FLOOR = "none"
LEAST_RATIO, REACHED, UNDER, LEAST_UNDER = 5.0, 90.0, 50.0, 3


@dataclass(frozen=True)
class Job:
    """A model on a task with a learning rate and a seed."""

    task: str
    model: str
    lr: float
    seed: int


def missing_jobs(tasks: Sequence[str], models: Sequence[str], trials: Sequence[Mapping[str, Any]]) -> list[Job]:
    """Return what to train next: the middle rate of all pairs, then other rates where needed, then second seeds."""
    done = {Job(*(trial[field.name] for field in fields(Job))) for trial in trials}
    pairs = {(task, model): [t for t in trials if (t["task"], t["model"]) == (task, model)]
             for model in models for task in tasks}  # fmt: skip
    first, second = SEEDS
    for stage in (
        (Job(*pair, MIDDLE, first) for pair in [*pairs, *((task, FLOOR) for task in tasks)]),
        (Job(*pair, HIGHER, first) for pair, tried in pairs.items() if best_score(tried) < REACHED),
        (
            Job(*pair, LOWER, first)
            for pair, tried in pairs.items()
            if best_score(tried) < REACHED and best_rate(tried) != HIGHER
        ),
        (Job(*pair, best_rate(tried), second) for pair, tried in pairs.items()),
    ):
        if missing := [job for job in stage if job not in done]:
            return missing
    return []


def train_job(suite_name: str, job: Job) -> dict[str, Any]:
    from bench.catalog.registry import find_model, find_task
    from bench.catalog.suites import find_suite
    from bench.common.text import assignments
    from bench.runs.request import SettingFlags, build_request

    settings = {**find_suite(suite_name).tasks[job.task], "lr": job.lr}
    flags = SettingFlags(assignments=assignments(settings), budget=BUDGET, wrapper=WRAPPER)
    request = build_request(find_model(job.model), find_task(job.task), flags, seed=0)
    return asdict(job) | train(request, job.seed)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the recorded trials, one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def record(suite: str, path: Path, tasks: Sequence[str], models: Sequence[str], workers: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    while missing := missing_jobs(tasks, models, read(path)):
        began = time.monotonic()
        print(f"{len(missing)} trials to train. {len(read(path))} are recorded.", flush=True)
        for count, (_, trial) in enumerate(each_done(train_job, [(suite, job) for job in missing], workers), start=1):
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(trial) + "\n")
            left = (time.monotonic() - began) / count * (len(missing) - count)
            print(
                f"{trial['model']} · {trial['task']} · lr {trial['lr']:g} · seed {trial['seed']}: {trial['status']} "
                f"after {trial['steps']} steps in {trial['core_seconds']:.0f} s. {count} of {len(missing)}, about "
                f"{left / 60:.0f} minutes to go.",
                flush=True,
            )


# The table


@dataclass(frozen=True)
class Row:
    """What the pilot says of a task."""

    task: str
    scores: Mapping[str, Sequence[float]]
    """Model → the scores of its seeds at its best learning rate; floors are left out."""
    floor: float | None
    """The score of the block without a mixer."""
    minutes: float
    """Core time of a seed of all models, on average, in minutes."""

    @property
    def means(self) -> list[float]:
        return [statistics.mean(scores) for scores in self.scores.values()]

    @property
    def ratio(self) -> float | None:
        """The variance between architectures over that between seeds; None where it can't be told yet."""
        pairs = [scores for scores in self.scores.values() if len(scores) > 1]
        if len(pairs) < 2:
            return None
        within = statistics.mean(statistics.variance(scores) for scores in pairs)
        between = statistics.variance([statistics.mean(scores) for scores in pairs]) - within / len(SEEDS)
        return max(between, 0.0) / within if within else float("inf")

    @property
    def verdict(self) -> str:
        """What speaks against the task."""
        means = self.means
        against = []
        if self.ratio is not None and self.ratio < LEAST_RATIO:
            against.append("seeds vary too much")
        if self.task not in IMAGES and max(means) < REACHED:
            against.append(f"nobody reaches {REACHED:g}")
        if self.task not in IMAGES and sum(mean < UNDER for mean in means) < LEAST_UNDER:
            against.append(f"fewer than {LEAST_UNDER} under {UNDER:g}")
        return "; ".join(against) or "keep"


def rows(tasks: Sequence[str], trials: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield a row for each of the tasks that has trials."""
    for task in tasks:
        here = [trial for trial in trials if trial["task"] == task]
        if here:
            found = {model: best_seeds([t for t in here if t["model"] == model]) for model in models_of(here)}
            floor = found.pop(FLOOR, None)
            minutes = statistics.mean(trial["core_seconds"] for trial in here) / 60
            yield Row(task, found, None if floor is None else statistics.mean(floor), minutes)


def models_of(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(trial["model"] for trial in trials))


def best_rate(trials: Sequence[Mapping[str, Any]]) -> float:
    """Return the learning rate of a model on a task that has the best mean score over the seeds tried with it."""
    rates = dict.fromkeys(trial["lr"] for trial in trials)
    return max(rates, key=lambda rate: statistics.mean(score(trial) for trial in trials if trial["lr"] == rate))


def best_score(trials: Sequence[Mapping[str, Any]]) -> float:
    return max(map(score, trials))


def best_seeds(trials: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the scores of a model's seeds on a task, at its best learning rate."""
    rate = best_rate(trials)
    return [score(trial) for trial in trials if trial["lr"] == rate]


@cache
def spec_of(task: str) -> "TaskSpec":
    from bench.catalog.registry import find_task

    return find_task(task).build(with_tests=False).spec


def score(trial: Mapping[str, Any]) -> float:
    return points(spec_of(trial["task"]), trial["curve"], finished=trial["status"] == "finished")


def as_markdown(table: Sequence[Row]) -> str:
    """Return the scores of each seed, architectures below one another, and what follows for each task."""
    models = list(dict.fromkeys(model for row in table for model in row.scores))
    lines = [["architecture", *(row.task for row in table)], ["---", *("---:" for _ in table)]]
    lines += [[model, *(" ".join(f"{each:.0f}" for each in row.scores.get(model, ())) or "–" for row in table)]
              for model in models]  # fmt: skip
    lines += [
        ["without a mixer", *("–" if row.floor is None else f"{row.floor:.0f}" for row in table)],
        ["variance, architectures over seeds", *("–" if row.ratio is None else f"{row.ratio:.0f}" for row in table)],
        ["core minutes a trial", *(f"{row.minutes:.1f}" for row in table)],
        ["verdict", *(row.verdict for row in table)],
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("show", "record"), default="show")
    parser.add_argument("--suite", default="quick-v2", help="whose tasks (default quick-v2)")
    parser.add_argument("--tasks", nargs="+", help="only these of its tasks (default all)")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help=f"default {' '.join(MODELS)}")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from bench.catalog.suites import find_suite

    every, path = list(find_suite(options.suite).tasks), RECORDED / f"{options.suite}.jsonl"
    tasks = options.tasks or every
    if foreign := set(tasks) - set(every):
        parser.error(f"{', '.join(sorted(foreign))} is not in {options.suite}, which has {', '.join(every)}")
    if options.what == "record":
        record(options.suite, path, tasks, options.models, options.workers)
    else:
        print(as_markdown(list(rows(tasks, read(path)))))


if __name__ == "__main__":
    main()
