"""The protocol of the FRU paper (Zhang et al. 2018), from the configurations that its authors published.

`fru_paper.csv` has their experiments: task, architecture, training and sizes (github.com/limbo018/FRU, `test/*/*.json`;
an empty clip is none). `fru_paper_published.csv` has what the paper reports, each number with the place where it was
read; a number that nobody has read is missing. docs/reproduce.md says how each protocol trains and what differs.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

from bench.catalog.registry import FoundTask, find_model, find_task
from bench.common.errors import unknown
from bench.common.protocol import FRU_PAPER_PROTOCOL
from bench.runs.commands import run_command
from bench.runs.request import RunRequest, SettingFlags, build_request, recorded_sources
from datamodules._files import DataError
from datamodules._fru_paper import FOUND, SUFFIX
from db.schema import Run
from db.store import Store

NAME = "fru-paper"
TITLE = "Zhang, Lin, Song & Dhillon, Learning Long Term Dependencies via Fourier Recurrent Units, ICML 2018"
URL = "https://arxiv.org/abs/1803.06585"
CODE = "https://github.com/limbo018/FRU"
TRIES = "The authors write that where a model did not converge they tried three times and reported the best."
UNREAD = "not read: the paper's text was unavailable where this was written"
PROTOCOLS = ("ours", "authors")
STAND_INS = {"fashion": "smnist"}
"""Task → the task of the paper that it can replace, by our protocol only."""
UNCHANGED = {"warmup": 0.0, "end_when_solved": False, "start_at_constant": False}
"""Settings of training that came later, at what held before: a paper's own protocol has none of them."""
MOST_SEEDS = 20  # seeds of an experiment that are looked for in the store
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Experiment:
    """One of the paper's configurations."""

    row: dict[str, str]
    """Column → text in `fru_paper.csv`."""

    @property
    def task(self) -> str:
        return self.row["task"]

    @property
    def model(self) -> str:
        return self.row["model"]

    @property
    def name(self) -> str:
        """The name in the paper: FRU with its frequencies and statistics."""
        sizes = f"({self.row['num_freqs']},{self.row['stat_size']})" if self.model == "fru" else ""
        return f"{self.model.upper()}{sizes}"

    @property
    def stem(self) -> str:
        """The name in file names: fru-60-10."""
        return "-".join([self.model, *([self.row["num_freqs"], self.row["stat_size"]] if self.model == "fru" else [])])

    @property
    def epochs(self) -> int:
        return int(self.row["epochs"])

    @property
    def protocols(self) -> tuple[str, ...]:
        return ("ours",) if self.task in STAND_INS else PROTOCOLS

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings that differ from the benchmark's defaults, by the benchmark's names."""
        row = self.row
        training = {
            "lr": float(row["learning_rate"]),
            "lr_schedule": "staircase",
            "lr_decay": float(row["lr_decay_per_1000_steps"]),
            "clip_norm": float(row["clip_grad_norm"]) if row["clip_grad_norm"] else None,
            "batch_size": int(row["batch"]),
            "epochs": self.epochs,
            "patience": None,
        }
        around = {"embed_size": int(row["units"]), "dropout": round(1 - float(row["dropout_keep"]), 6)}
        return training | (around if self.task == "imdb" else {}) | self._sizes()

    def _sizes(self) -> dict[str, Any]:
        row, units = self.row, int(self.row["units"])
        if self.model in ("lstm", "rnn"):
            return {"hidden_size": units}
        sizes = {"output_size": units, "recur_size": int(row["recur_size"]), "stat_size": int(row["stat_size"])}
        if self.model == "sru":
            return sizes | {"decays": [float(word) for word in row["decays"].split("|")]}
        highest = {"max_freq": float(row["max_freq"])} if float(row["max_freq"]) > 0 else {}
        return sizes | {"num_freqs": int(row["num_freqs"])} | highest

    def published(self) -> dict[str, Any]:
        """Return what the paper reports: `value` and `params`, null where nobody has read them, `source`, `reason`."""
        with (FOLDER / "fru_paper_published.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if (row["task"], row["cell"]) == (self.task, self.name):
                    value = float(row["value"]) if row["value"] else None
                    params = int(row["params"]) if row["params"] else None
                    return {"value": value, "params": params, "source": row["source"], "reason": None}
        reason = UNREAD if self.task not in STAND_INS else f"the paper has {STAND_INS[self.task]}, not {self.task}"
        return {"value": None, "params": None, "source": None, "reason": reason}

    def params_by_authors_code(self, inputs: int, outputs: int, vocabulary: int) -> int:
        """Return the number of trainable numbers by the shapes in the authors' code, with readout and embedding.

        The authors' LSTM and RNN have one bias per gate, torch's have two.

        Args:
            vocabulary: 0 where the task has no tokens.
        """
        row, units = self.row, int(self.row["units"])
        inputs = units if vocabulary else inputs
        gates = {"lstm": 4, "rnn": 1}.get(self.model)
        if gates:
            core = gates * units * (inputs + units + 1)
        else:
            summaries = int(row["num_freqs"]) if self.model == "fru" else len(row["decays"].split("|"))
            recur, stats = int(row["recur_size"]), int(row["stat_size"])
            phases = summaries if self.model == "fru" else 0
            core = (recur + units) * (summaries * stats + 1) + stats * (inputs + recur + 1) + phases
        return core + outputs * (units + 1) + vocabulary * units


@cache
def experiments() -> tuple[Experiment, ...]:
    """Return the paper's experiments, then those of the stand-ins."""
    with (FOLDER / "fru_paper.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    instead = [
        row | {"task": task} for task, paper_task in STAND_INS.items() for row in rows if row["task"] == paper_task
    ]
    return tuple(Experiment(row) for row in rows + instead)


def experiment_of(run: Run) -> Experiment | None:
    """Return the experiment whose settings a run has, at the paper's length; None where there is none."""
    config, task = run.flat_config, run.task.removesuffix(SUFFIX)
    own = (each for each in experiments() if (each.task, each.model) == (task, run.model))
    return next((each for each in own if each.settings.items() <= config.items()), None)


def chosen(tasks: Sequence[str], models: Sequence[str], protocols: Sequence[str]) -> list[Experiment]:
    """Return the experiments of some tasks and architectures that any of the protocols can train.

    Args:
        tasks: all but stand-ins, if none is named.
        models: all, if none is named.

    Raises:
        RequestError: the paper has no such task or architecture, or a stand-in no such protocol.
    """
    every = [each for each in experiments() if {*each.protocols} & {*protocols}]
    for what, names, legal in (
        ("task of the paper", tasks, {each.task for each in every}),
        ("model of the paper", models, {each.model for each in every}),
    ):
        for name in names:
            if name not in legal:
                raise unknown(what, name, legal)
    wanted = tasks or {each.task for each in every} - STAND_INS.keys()
    return [each for each in every if each.task in wanted and each.model in (models or [each.model])]


class PaperRequest(RunRequest):
    """A run with the paper's training and our evaluation.

    Protocol 2 brought warm-up, an early end and other starts. These runs have neither, and their architectures start
    as before, so they stay what they were under protocol 1.
    """

    protocol = 1
    words: ClassVar[str] = "ours"
    """What `--protocol` calls it."""

    @property
    def config(self) -> dict[str, Any]:
        return self.settings.of_protocol_1()


class AuthorsRequest(PaperRequest):
    """A run by the authors' protocol. It has its own task and protocol number, so no board can mix it in."""

    protocol = FRU_PAPER_PROTOCOL
    words = "authors"


@run_command.register
def _(request: PaperRequest) -> str:
    """Return a command that makes this run. It also makes the lower seeds and the model's other experiments."""
    words = f"python -m bench reproduce {NAME} --only {_task(request)} --models {request.model.name}"
    epochs = f" --epochs {request.settings.training.epochs}" if request.sources["epochs"] == "flag" else ""
    return f"{words} --protocol {request.words} --seeds {request.seed + 1}{epochs}"


def requests(experiment: Experiment, protocol: str, seeds: int, epochs: int | None) -> list[RunRequest]:
    """Return the runs of an experiment.

    Args:
        protocol: one of the experiment's protocols.
        seeds: the number of seeds, from 0 on.
        epochs: in place of the paper's, unless None.
    """
    name = experiment.task
    task = find_task(name) if protocol == "ours" else FoundTask(FOUND[name], f"{name}{SUFFIX}")
    flags = SettingFlags(preset=experiment.settings | UNCHANGED, epochs=epochs, wrapper="plain")
    first = build_request(find_model(experiment.model), task, flags, seed=0)
    kind = PaperRequest if protocol == "ours" else AuthorsRequest
    sources = recorded_sources(first.settings.of_protocol_1(), first.sources)
    return [kind(**vars(first) | {"sources": sources, "seed": seed}) for seed in range(seeds)]


def recorded(experiment: Experiment, protocol: str, store: Store) -> list[Run]:
    """Return the runs of an experiment at the paper's length that have ended, with seeds 0, 1, …"""
    runs = [store.result(request.run_id) for request in requests(experiment, protocol, MOST_SEEDS, None)]
    return [run for run in runs if run is not None]


def available(
    runs: Sequence[RunRequest], store: Store, data_dir: str | None
) -> tuple[list[RunRequest], dict[str, str]]:
    """Return the runs that are not recorded and whose data are available, and task → why its data are unavailable.

    The data of the runs are downloaded and prepared.
    """
    todo = [run for run in runs if store.result(run.run_id) is None]
    reasons: dict[str, str] = {}
    for run in {run.spec.name: run for run in todo}.values():
        if _task(run) not in reasons and (reason := _unavailable(run, data_dir)):
            reasons[_task(run)] = reason
    return [run for run in todo if _task(run) not in reasons], reasons


def _task(run: RunRequest) -> str:
    return run.spec.name.removesuffix(SUFFIX)


def _unavailable(run: RunRequest, data_dir: str | None) -> str | None:
    try:
        run.task.build(data_dir=data_dir).prepare_data()
    except DataError as error:
        return str(error)
    return None
