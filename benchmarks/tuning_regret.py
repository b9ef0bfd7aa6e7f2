"""Show what sampler and pruner cost a study of few trials, on grids of settings whose learning curves were recorded.

    python benchmarks/tuning_regret.py              replay studies on the recorded grids, and print a table
    python benchmarks/tuning_regret.py record       record what the grids lack

Recording trains each cell of each grid with two seeds, by the code that trains trials. Every trial that ends is saved,
so the command goes on where it was stopped.

A replayed study draws settings as `bench tune` does, the first trial at the defaults. A trial is looked up in place of
being trained: the cell that is nearest to its settings, one of its two seeds at random, as many steps of the curve as
the pruner allows. The regret of a study is the score lost by what it chose: the score of the grid's best cell less that
of the cell with the best trial, in points of the board (0 to 100) on validation, means of both seeds. The share of
steps is that of the same trials without pruning.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import product, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _recording import best_value, each_done, points, train

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from bench.runs.request import RunRequest
    from datamodules._spec import TaskSpec

GRIDS = Path(__file__).resolve().parent / "tuning_grids"
BUDGET = "10k"
SEEDS = (10_000, 10_001)
LOWEST, HIGHEST, RATES = 1e-4, 3e-2, 6  # learning rates: the middles of RATES equal parts of what `bench tune` searches
AIM_MEAN, AIM_HIGH, AIM_STEPS = 2.0, 8.0, 0.6  # points, points (95th percentile), share
COSTLY = 10  # a sampler that takes a tenth of a second for a study is replayed this many times less often

Settings = Mapping[str, Any]


# Grids


@dataclass(frozen=True)
class Pair:
    """A model on a task in a wrapper, and the settings that its grid varies besides the learning rate.

    Args:
        steps: those of a trial.
    """

    model: str
    wrapper: str
    task: str
    steps: int
    varied: Settings = field(hash=False)

    @property
    def name(self) -> str:
        return f"{self.model}-{self.wrapper}-{self.task}"

    @property
    def axes(self) -> dict[str, list[Any]]:
        """Setting → its values."""
        ratio = HIGHEST / LOWEST
        rates = [float(f"{LOWEST * ratio ** ((part + 0.5) / RATES):.3g}") for part in range(RATES)]
        return {"lr": rates, **{name: list(values) for name, values in self.varied.items()}}

    def cells(self) -> list[dict[str, Any]]:
        return [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]

    def request(self, settings: Settings) -> "RunRequest":
        """Return the run with these settings, its sizes fitted to BUDGET."""
        from bench.catalog.registry import find_model, find_task
        from bench.common.text import assignments
        from bench.runs.request import SettingFlags, build_request

        words = [*assignments(settings), f"max_steps={self.steps}", "patience=none"]
        flags = SettingFlags(assignments=words, budget=BUDGET, wrapper=self.wrapper)
        return build_request(find_model(self.model), find_task(self.task), flags, seed=0)

    def defaults(self) -> dict[str, Any]:
        flat = self.request({}).settings.flat()
        return {name: flat[name] for name in self.axes}


PAIRS = (
    Pair("fru", "plain", "adding-200", 1_000, {"stat_size": [5, 10]}),
    Pair("gru", "residual", "digits", 400, {"chrono": [False, True]}),
    Pair("s4d", "residual", "copy-50", 600, {"dt_min": [0.001, 0.01]}),
    Pair("mamba", "residual", "selective-copy-64", 600, {"state_size": [8, 16]}),
    Pair("indrnn", "plain", "subtract-100", 600, {"batch_norm": ["after", "before"]}),
    Pair("lmu", "plain", "mix-sin-noise", 600, {"recurrent": [True, False]}),
    Pair("mingru", "residual", "digits", 600, {"expansion": [1.0, 2.0]}),
    Pair("transformer", "residual", "recall-32", 600, {"min_head_size": [8, 16]}),
    Pair("lstm", "plain", "s3-64", 1_000, {"chrono": [False, True]}),
)


class Recording:
    """The file of a grid, while it is recorded.

    Raises:
        SystemExit: the file was recorded in another way, so that its curves can't be compared with new ones.
    """

    def __init__(self, pair: Pair, folder: Path) -> None:
        from bench.common.protocol import PROTOCOL

        self.pair, self.path = pair, folder / f"{pair.name}.json"
        about: dict[str, Any] = {
            "model": pair.model, "wrapper": pair.wrapper, "task": pair.task, "budget": BUDGET, "steps": pair.steps,
            "protocol": PROTOCOL, "axes": pair.axes, "defaults": pair.defaults(),
        }  # fmt: skip
        self.document: dict[str, Any] = (
            json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {**about, "trials": []}
        )
        odd = [name for name, value in about.items() if self.document[name] != value]
        if odd:
            raise SystemExit(
                f"{self.path} was recorded with other values of {', '.join(odd)}. Remove it to begin again."
            )
        off = [name for name, value in about["defaults"].items() if name != "lr" and value not in pair.axes[name]]
        if off:
            raise SystemExit(f"{pair.name}: the default of {', '.join(off)} is not in the grid, where studies begin.")

    def missing(self) -> list[tuple[dict[str, Any], int]]:
        """Return the cells and seeds that are not recorded yet."""
        there = [(trial["settings"], trial["seed"]) for trial in self.document["trials"]]
        return [each for each in product(self.pair.cells(), SEEDS) if each not in there]

    def seconds(self) -> float | None:
        """Return the core time of a trial, on average so far."""
        spent = [trial["core_seconds"] for trial in self.document["trials"]]
        return statistics.mean(spent) if spent else None

    def add(self, trial: dict[str, Any]) -> None:
        from bench.common.whole_files import write_whole

        self.document["trials"].append(trial)
        head = json.dumps({name: value for name, value in self.document.items() if name != "trials"})
        lines = ",\n".join(map(json.dumps, self.document["trials"]))
        write_whole(self.path, f'{head[:-1]}, "trials": [\n{lines}\n]}}\n'.encode())


def train_cell(pair: Pair, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train a cell with a seed, as a trial is trained."""
    return {"settings": settings, **train(pair.request(settings), seed)}


def record(folder: Path, pairs: Sequence[Pair], workers: int) -> None:
    """Train what is missing, a trial of each grid in turn, so that the estimate is good from the first turn on."""
    recordings = {pair.name: Recording(pair, folder) for pair in pairs}
    missing = [[(each, *job) for job in each.missing()] for each in recordings.values()]
    jobs = [job for turn in zip_longest(*missing) for job in turn if job is not None]
    began = time.monotonic()
    print(f"{len(jobs)} trials to train in {len(recordings)} grids.", flush=True)
    calls = [(each.pair, settings, seed) for each, settings, seed in jobs]
    for done, (number, trial) in enumerate(each_done(train_cell, calls, workers), start=1):
        jobs[number][0].add(trial)
        print(f"{jobs[number][0].pair.name}: {_line(trial)}")
        print(f"  {done} of {len(jobs)}; {_left(recordings.values(), began, done, len(jobs))}", flush=True)


def _line(trial: dict[str, Any]) -> str:
    best = f"{trial['curve'][-1][1]:g}" if trial["curve"] else "nothing"
    settings = " ".join(f"{name}={value}" for name, value in trial["settings"].items())
    return f"{settings} seed={trial['seed']}: {trial['status']} after {trial['steps']} steps, {best} at the end"


def _left(recordings: Any, began: float, done: int, total: int) -> str:
    each = list(recordings)
    if any(recording.seconds() is None for recording in each):
        return "no estimate before each grid has a trial"
    core = sum(len(recording.missing()) * recording.seconds() for recording in each)
    wall = (time.monotonic() - began) / done * (total - done)
    return f"about {core / 60:.0f} minutes of core time and {wall / 60:.0f} minutes by the clock to go"


# Replaying


@dataclass(frozen=True)
class Trace:
    """A recorded trial: its evaluations (step, value), and whether it finished."""

    curve: tuple[tuple[int, float], ...]
    steps: int
    finished: bool


class Grid:
    """A recorded grid.

    Args:
        document: what the file of a recording holds.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        from bench.catalog.registry import find_task

        self.name = "-".join(document[part] for part in ("model", "wrapper", "task"))
        self.axes, self.defaults, self.steps = document["axes"], document["defaults"], document["steps"]
        self.spec: TaskSpec = find_task(document["task"]).build(with_tests=False).spec
        self.traces: dict[tuple[Any, ...], list[Trace]] = {}
        for trial in document["trials"]:
            curve = tuple((step, value) for step, value in trial["curve"])
            trace = Trace(curve, trial["steps"], trial["status"] == "finished")
            self.traces.setdefault(tuple(trial["settings"].values()), []).append(trace)
        self.evaluations = max(len(trace.curve) for traces in self.traces.values() for trace in traces)
        self.scores = {
            cell: statistics.mean(self.score(trace) for trace in traces) for cell, traces in self.traces.items()
        }

    @property
    def is_complete(self) -> bool:
        cells = math.prod(map(len, self.axes.values()))
        return len(self.traces) == cells and all(len(traces) == len(SEEDS) for traces in self.traces.values())

    def value(self, trace: Trace) -> float:
        """Return a trial's value: its best on validation."""
        return best_value(self.spec, trace.curve)

    def score(self, trace: Trace) -> float:
        return points(self.spec, trace.curve, finished=trace.finished)

    def suggest(self, trial: "Trial") -> tuple[Any, ...]:
        """Let a trial choose its settings as in `bench tune`. Return the nearest cell."""
        rate = trial.suggest_float("lr", LOWEST, HIGHEST, log=True)
        nearest = min(self.axes["lr"], key=lambda known: abs(math.log(known / rate)))
        rest = [trial.suggest_categorical(name, values) for name, values in self.axes.items() if name != "lr"]
        return (nearest, *rest)


@cache
def load(path: Path) -> Grid:
    return Grid(json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Candidate:
    """A sampler and a pruner, by their names in SAMPLERS and PRUNERS."""

    sampler: str
    pruner: str


def samplers() -> dict[str, Callable[[int, int], "BaseSampler"]]:
    """Return name → sampler, built from a seed and the number of trials."""
    from optuna.samplers import GPSampler, RandomSampler, TPESampler

    from bench.tuning.samplers import STARTUP, Spread, build_sampler

    def then(rest: "BaseSampler") -> "BaseSampler":
        return Spread(STARTUP - 1, rest)

    return {
        "random": lambda seed, trials: RandomSampler(seed=seed),
        "hypercube": lambda seed, trials: Spread(trials - 1, RandomSampler(seed=seed)),
        "hypercube, random": lambda seed, trials: build_sampler("random", seed, trials),
        "hypercube, TPE": lambda seed, trials: build_sampler("tpe", seed, trials),
        "hypercube, joint TPE": lambda seed, trials: then(
            TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True)
        ),
        "hypercube, GP": lambda seed, trials: then(GPSampler(seed=seed, n_startup_trials=STARTUP)),
    }  # fmt: skip


def pruners() -> dict[str, Callable[[int], "BasePruner"]]:
    """Return name → pruner, built from the number of a trial's evaluations."""
    from optuna.pruners import MedianPruner, NopPruner, PercentilePruner, SuccessiveHalvingPruner

    def halving(factor: int, first: float) -> Callable[[int], "BasePruner"]:
        """Keep one in `factor` at each rung. The first rung is after the share `first` of a trial."""
        return lambda evaluations: SuccessiveHalvingPruner(
            min_resource=max(1, round(evaluations * first)), reduction_factor=factor
        )

    def percentile(kept: float, startup: int, first: float) -> Callable[[int], "BasePruner"]:
        return lambda evaluations: PercentilePruner(
            kept, n_startup_trials=startup, n_warmup_steps=max(1, round(evaluations * first))
        )

    return {
        "none": lambda evaluations: NopPruner(),
        "halving by 4 from 1/9": halving(4, 1 / 9),
        "halving by 3 from 1/9": halving(3, 1 / 9),
        "halving by 3 from 1/3": halving(3, 1 / 3),
        "halving by 2 from 1/8": halving(2, 1 / 8),
        "halving by 2 from 1/4": halving(2, 1 / 4),
        "halving by 2 from 1/2": halving(2, 1 / 2),
        "median from 1/9 after 6": lambda evaluations: MedianPruner(6, max(1, round(evaluations / 9))),
        "median from 1/4 after 4": lambda evaluations: MedianPruner(4, max(1, round(evaluations / 4))),
        "best third from 1/4 after 3": percentile(100 / 3, 3, 1 / 4),
        "best quarter from 1/4 after 2": percentile(25, 2, 1 / 4),
        "best quarter from 1/2 after 2": percentile(25, 2, 1 / 2),
    }  # fmt: skip


@dataclass(frozen=True)
class Replayed:
    """What a replayed study lost and spent."""

    regret: float
    steps: int
    whole: int
    """The steps of the same trials without pruning."""


def replay(grid: Grid, candidate: Candidate, trials: int, number: int) -> Replayed:
    """Replay a study.

    Args:
        number: of the replay. Random numbers follow from it, the grid and the candidate.
    """
    import optuna

    from bench.tuning.random_numbers import random_number

    name = f"{grid.name} · {candidate.sampler} · {candidate.pruner} · {number}"
    study = optuna.create_study(
        study_name=name,
        direction="maximize" if grid.spec.higher_is_better else "minimize",
        pruner=pruners()[candidate.pruner](grid.evaluations),
    )
    study.enqueue_trial(grid.defaults)
    build, cells, spent, whole = samplers()[candidate.sampler], {}, 0, 0
    for trial_number in range(trials):
        study.sampler = build(random_number(name, trial_number), trials)
        trial = study.ask()
        cells[trial_number] = grid.suggest(trial)
        traces = grid.traces[cells[trial_number]]
        trace = traces[random_number(name, trial_number, "seed") % len(traces)]
        spent, whole = spent + look_up(study, trial, trace, grid), whole + trace.steps
    best = max(grid.scores.values())
    with suppress(ValueError):  # Optuna's, where no trial is complete
        return Replayed(best - grid.scores[cells[study.best_trial.number]], spent, whole)
    return Replayed(best, spent, whole)


def look_up(study: "Study", trial: "Trial", trace: Trace, grid: Grid) -> int:
    """Let a trial go as it went when it was recorded, until it is pruned. Return its steps."""
    from optuna.trial import TrialState

    from bench.tuning.pruning import should_stop
    from bench.tuning.trial import Progress

    for evaluation, (step, value) in enumerate(trace.curve, start=1):
        if should_stop(trial, Progress(step, evaluation, value), grid.spec, grid.steps):
            study.tell(trial, state=TrialState.PRUNED)
            return step
    if trace.finished:
        study.tell(trial, grid.value(trace))
    else:
        study.tell(trial, state=TrialState.FAIL)
    return trace.steps


def replay_all(path: Path, candidate: Candidate, trials: int, replays: int) -> list[Replayed]:
    """Replay a candidate's studies on a grid."""
    import optuna

    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return [replay(load(path), candidate, trials, number) for number in range(replays)]


@dataclass(frozen=True)
class Row:
    """What a candidate costs over all grids."""

    candidate: Candidate
    mean: float
    high: float
    """The 95th percentile of the regret."""
    worst: float
    """The mean regret on the grid where it is highest."""
    share: float
    replays: int

    @property
    def reaches_aim(self) -> bool:
        return self.mean <= AIM_MEAN and self.high <= AIM_HIGH and self.share <= AIM_STEPS


def row(candidate: Candidate, studies: Mapping[str, Sequence[Replayed]]) -> Row:
    """Sum up.

    Args:
        studies: grid → the candidate's studies on it.
    """
    every = [study for those in studies.values() for study in those]
    means = [statistics.mean(study.regret for study in those) for those in studies.values()]
    return Row(
        candidate,
        statistics.mean(means),
        float(np.quantile([study.regret for study in every], 0.95)),
        max(means),
        statistics.mean(sum(s.steps for s in those) / sum(s.whole for s in those) for those in studies.values()),
        len(every),
    )


def compare(paths: Sequence[Path], trials: int, replays: int, workers: int) -> Iterator[Row]:
    """Yield a row for each candidate, as it is ready."""
    candidates = [Candidate(sampler, pruner) for sampler in samplers() for pruner in pruners()]
    calls = [(path, candidate, trials, replays_of(candidate, replays)) for candidate in candidates for path in paths]
    found: dict[Candidate, dict[str, list[Replayed]]] = {candidate: {} for candidate in candidates}
    for number, studies in each_done(replay_all, calls, workers):
        path, candidate, *_ = calls[number]
        found[candidate][path.stem] = studies
        if len(found[candidate]) == len(paths):
            yield row(candidate, found[candidate])


def replays_of(candidate: Candidate, replays: int) -> int:
    return max(1, replays // COSTLY) if "GP" in candidate.sampler else replays


def show(rows: Iterator[Row]) -> None:
    print("| sampler | pruner | mean regret | 95th percentile | worst grid | steps | replays |")
    print("|---|---|---|---|---|---|---|")
    seen = []
    for each in rows:
        seen.append(each)
        mark = " *" * each.reaches_aim
        print(f"| {each.candidate.sampler} | {each.candidate.pruner}{mark} | {each.mean:.1f} | {each.high:.1f} | "
              f"{each.worst:.1f} | {each.share:.0%} | {each.replays:,} |", flush=True)  # fmt: skip
    thrifty = [each for each in seen if each.share <= AIM_STEPS]
    aim = f"mean ≤ {AIM_MEAN:g}, 95th percentile ≤ {AIM_HIGH:g} points at ≤ {AIM_STEPS:.0%} of the steps"
    reached = [each for each in thrifty if each.reaches_aim]
    best = min(reached or thrifty or seen, key=lambda each: (each.mean, each.high))
    print(f"\nAim: {aim}. {'Reached where marked *.' if reached else 'No candidate reaches it.'}")
    print(f"Best{' within these steps' if thrifty else ''}: {best.candidate.sampler} with {best.candidate.pruner}.")


def grid_files(folder: Path, only: Sequence[str]) -> list[Path]:
    """Return the files of the complete grids.

    Raises:
        SystemExit: there is none.
    """
    paths = []
    for path in sorted(folder.glob("*.json")):
        if only and path.stem not in only:
            continue
        if load(path).is_complete:
            paths.append(path)
        else:
            print(f"left out: {path.stem} is not complete; `{Path(sys.argv[0]).name} record` goes on.", file=sys.stderr)
    if not paths:
        raise SystemExit(f"no complete grid in {folder}. Record some: python {sys.argv[0]} record")
    return paths


def main() -> None:
    names = [pair.name for pair in PAIRS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("replay", "record"), default="replay")
    parser.add_argument("--grids", type=Path, default=GRIDS, help="the folder of the grids' files")
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="GRID", help=f"of {', '.join(names)}")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--trials", type=int, default=12, help="trials of a study (default 12)")
    parser.add_argument("--replays", type=int, default=300, help="studies for each candidate and grid (default 300)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if options.what == "record":
        record(
            options.grids, [pair for pair in PAIRS if not options.only or pair.name in options.only], options.workers
        )
    else:
        paths = grid_files(options.grids, options.only)
        show(compare(paths, options.trials, options.replays, options.workers))


if __name__ == "__main__":
    main()
