"""The paper's protocol: its data, its experiments, and runs that never mix with the board's."""

import csv
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from bench.catalog.registry import find_task, task_names
from bench.catalog.suites import SUITES
from bench.reproduce import fru_paper
from bench.reproduce.fru_paper import (
    MOST_SEEDS,
    STAND_INS,
    Experiment,
    chosen,
    experiment_of,
    experiments,
    requests,
)
from bench.runs.network import build, count_on_meta
from bench.training import callbacks, checkpoints
from datamodules import _files
from datamodules._files import DataError
from datamodules._fru_paper import FOUND, SUFFIX, AsPublished, MixtureAsPublished
from datamodules._mixtures import MixtureTask
from db.store import Store
from models.fru import FRU
from models.rnn import RNN
from models.shared.wrappers import Plain
from tests.conftest import ROOT, Bench
from tests.support.runs import make_run

PUBLISHED_CELLS = sorted((ROOT / "db" / "published" / "fru-paper").glob("*/*.json"))
SHORT = ("--only", "mix-poly-5", "--models", "rnn", "--epochs", "2", "--seeds", "1")
ONLY_BIASES = {"lstm": 4, "rnn": 1, "fru": 0, "sru": 0}  # torch's second bias of each gate, in units


def published(task: str, **options: Any) -> AsPublished:
    return FOUND[task](f"{task}{SUFFIX}", **options)


# The data


def authors_mixtures(kind: str, degree: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The loops of the authors' `load.py`, with their global generator: train and test sequences."""
    np.random.seed(1000)
    axis = 2 * (np.arange(176) - 0.5 * 176) / 176
    curves = np.zeros((5, 176))
    if kind == "sin":
        frequencies = np.random.randint(1, 30, size=15) * 0.1
        coefficients, phases = np.random.uniform(-1, 1, size=(5, 15)), np.random.uniform(-1, 1, size=(5, 15))
        for j in range(5):
            for d in range(15):
                wave = np.sin(2 * np.pi * axis * frequencies[d] + 2 * np.pi * phases[j, d])
                curves[j] += wave * coefficients[j, d]
    else:
        coefficients = np.random.uniform(-1, 1, size=(5, degree))
        for j in range(5):
            for d in range(degree):
                curves[j] += np.power(axis, d + 1) * coefficients[j, d]
    rows = []
    for _ in range(4000):
        amplitudes = np.random.normal(0, 0.1, size=(5,))
        rows.append(np.random.normal(0, 0.1) + amplitudes @ curves)
    return train_test_split(np.array(rows), test_size=0.2, random_state=1000)


@pytest.mark.parametrize(("task", "kind", "degree"), [("mix-sin", "sin", 0), ("mix-poly-10", "poly", 10)])
def test_the_mixtures_are_the_authors_numbers(task: str, kind: str, degree: int) -> None:
    ours = published(task)
    for split, expected_NT in zip(("train", "test"), authors_mixtures(kind, degree), strict=True):
        samples = ours.split(split)
        np.testing.assert_allclose(samples.x[:, :, 0].numpy(), expected_NT, atol=1e-6)
        assert torch.equal(samples.y, samples.x[:, 1:, 0])


def test_the_digits_are_all_seventy_thousand_divided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"train": 60, "test": 10}
    task = published("smnist")

    def read(part: str) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.arange(counts[part], dtype=np.uint8) + 60 * (part == "test")
        return np.broadcast_to(numbers[:, None, None], (len(numbers), 28, 28)).copy(), numbers

    monkeypatch.setattr(task, "read", read)
    train, test = task.split("train"), task.split("test")
    assert sorted([*train.y.tolist(), *test.y.tolist()]) == list(range(70))
    assert len(test.y) == 14
    assert torch.equal(train.x[:, 0, 0].long(), train.y)
    assert max(train.y.tolist()) >= 60 > min(test.y.tolist())  # of either official part


def test_the_permutation_is_the_first_draw_of_the_authors_seed() -> None:
    np.random.seed(1000)
    assert np.array_equal(published("psmnist").permutation(), np.random.permutation(784))
    assert published("psmnist").facts() != find_task("psmnist").build().facts()


def test_imdb_is_read_with_its_padding() -> None:
    batch = next(iter(published("imdb", tiny=True).train_dataloader()))
    assert batch.lengths is None
    assert (batch.x == 0).any()
    assert not published("imdb").spec.variable_lengths


@pytest.mark.parametrize("protocol", ["ours", "authors"])
@pytest.mark.parametrize(
    "experiment", [each for each in experiments() if each.task == "imdb"], ids=lambda each: each.name
)
def test_the_experiments_on_imdb_learn_from_a_batch(experiment: Experiment, protocol: str) -> None:
    """No data of it are here: a batch of the invented ones, padding and dropout included."""
    request = requests(experiment, protocol, 1, None)[0]
    network = build(request.model.cls, request.wrapper, request.settings, request.spec)
    batch = next(iter(request.task.build(tiny=True, batch_size=4).train_dataloader()))
    outputs = network(batch.x, batch.lengths)
    torch.nn.functional.cross_entropy(outputs, batch.y).backward()
    assert network.embedding is not None
    assert network.embedding.weight.shape == (10_000, 128)
    assert network.embedding.weight.grad is not None
    assert bool(torch.isfinite(network.embedding.weight.grad).all())
    assert (batch.lengths is None) == (protocol == "authors")


@pytest.mark.parametrize("task", sorted(FOUND))
def test_there_is_nothing_to_choose_on(task: str) -> None:
    as_published = published(task, tiny=True)
    assert as_published.split_names == ("train", "test")
    assert as_published.val_dataloader() == []
    with pytest.raises(AssertionError):
        as_published.split("validation")


# The experiments


def test_every_cell_of_the_paper_is_there() -> None:
    tasks = {"mix-sin", "mix-poly-5", "mix-poly-10", "mix-poly-15", "smnist", "psmnist", "imdb"}
    assert {experiment.task for experiment in experiments()} - STAND_INS.keys() == tasks == set(FOUND)
    for task in tasks:
        assert {each.model for each in experiments() if each.task == task} == {"fru", "sru", "lstm", "rnn"}


@pytest.mark.parametrize("experiment", experiments(), ids=lambda each: f"{each.task}-{each.name}")
def test_an_experiment_is_built_with_the_published_settings(experiment: Experiment) -> None:
    ours, *theirs = (requests(experiment, protocol, 1, None)[0] for protocol in experiment.protocols)
    assert all(ours.settings == each.settings for each in theirs)
    assert ours.settings.flat().items() >= experiment.settings.items()
    assert set(ours.sources.values()) == {"preset"}
    recorded = make_run(model=experiment.model, task=experiment.task, config=ours.settings.to_dict())
    assert experiment_of(recorded) == experiment
    recorded.config["training"]["epochs"] += 1
    assert experiment_of(recorded) is None
    counts = count_on_meta(ours.model.cls, ours.wrapper, ours.settings, ours.spec)
    extra = ONLY_BIASES[experiment.model] * int(experiment.row["units"])
    vocabulary = 10_000 if experiment.task == "imdb" else 0
    outputs = {"imdb": 2, "smnist": 10, "psmnist": 10, "fashion": 10}.get(experiment.task, 175)
    assert counts.total - extra == experiment.params_by_authors_code(1, outputs, vocabulary)


@pytest.mark.parametrize("path", PUBLISHED_CELLS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_cell_still_finds_its_published_runs(path: Path) -> None:
    """Their names were computed before protocol 2 brought settings of its own."""
    stem, _, protocol = path.stem.rpartition("-")
    (experiment,) = [each for each in experiments() if (each.task, each.stem) == (path.parent.name, stem)]
    published = {run["run_id"] for run in json.loads(path.read_text(encoding="utf-8"))["runs"]}
    assert published <= {request.run_id for request in requests(experiment, protocol, MOST_SEEDS, None)}


def test_the_frequencies_are_those_of_the_published_configurations() -> None:
    """The first and last of `freqs` in test/sine_synthetic/FRU.json and test/imdb/FRU.*.json."""
    by_name = {(experiment.task, experiment.name): experiment for experiment in experiments()}

    def frequencies(task: str, name: str) -> tuple[float, ...]:
        request = requests(by_name[task, name], "ours", 1, None)[0]
        assert isinstance(request.settings.model, FRU.Config)
        return request.settings.model.frequencies(request.spec.seq_len)

    sines = frequencies("mix-sin", "FRU(120,5)")
    assert len(sines) == 120
    assert sines[:3] == pytest.approx([0, 0.25, 0.26181017261249595])
    assert sines[-2:] == pytest.approx([55.38363866961496, 58])
    assert frequencies("imdb", "FRU(5,10)") == pytest.approx([0, 0.25, 1.8420157493201925, 13.572088082974522, 100])
    assert frequencies("imdb", "FRU(1,10)") == (0,)


def test_no_number_is_published_without_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = next(each for each in experiments() if (each.name, each.task) == ("FRU(60,10)", "smnist"))
    with (fru_paper.FOLDER / "fru_paper_published.csv").open() as file:
        assert all(row["source"].strip() for row in csv.DictReader(file))
    written = 'task,cell,value,params,source\nsmnist,"FRU(60,10)",0.5,159000,a table\n'
    (tmp_path / "fru_paper_published.csv").write_text(written)
    monkeypatch.setattr(fru_paper, "FOLDER", tmp_path)
    assert experiment.published() == {"value": 0.5, "params": 159_000, "source": "a table", "reason": None}


def test_dropout_is_of_what_enters_the_layer_and_the_readout() -> None:
    torch.manual_seed(0)
    spec = find_task("digits").build().spec
    network = Plain(RNN, RNN.Config(hidden_size=4), spec, Plain.Config(dropout=0.5))
    x_BTD = torch.ones(2, 64, 1)
    entered: list[torch.Tensor] = []
    network.core[0].register_forward_pre_hook(lambda _, args: entered.append(args[0]))
    network.readout.register_forward_pre_hook(lambda _, args: entered.append(args[0]))
    network.train()(x_BTD)
    assert all(0 < (tensor == 0).float().mean() < 1 for tensor in entered)
    assert torch.equal(network.eval()(x_BTD), network(x_BTD))


# The runs


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, dict[str, Any]]]:
    """Both protocols on a tenth of the mixtures, which are kept apart from the real ones."""
    bench = Bench(tmp_path_factory.mktemp("paper"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(bench.env, "BENCH_CACHE_DIR", str(bench.folder))
        patch.setattr(MixtureTask, "counts", {"train": 280, "validation": 40, "test": 80})
        patch.setattr(MixtureAsPublished, "count_all", 400)
        yield bench, bench.json("reproduce", "fru-paper", *SHORT)


def test_both_protocols_stand_side_by_side(reproduced: tuple[Bench, dict[str, Any]]) -> None:
    (row,) = reproduced[1]["cells"]
    assert row["name"] == "RNN"
    assert not row["is_paper_length"]
    assert row["published"] == {"value": None, "source": None, "reason": fru_paper.UNREAD}
    assert row["params"]["difference_to_authors_code"] == 200
    for protocol in ("authors_protocol", "our_protocol"):
        assert row[protocol]["seeds"] == [0]
        assert row[protocol]["difference"] is None
        assert 0 < row[protocol]["value"] < 10 * row[protocol]["chance"]
    assert reproduced[1]["missing"] == 0


def test_a_second_call_returns_the_runs(reproduced: tuple[Bench, dict[str, Any]]) -> None:
    bench, first = reproduced
    assert bench.json("reproduce", "fru-paper", *SHORT) == first
    assert len(bench.json("runs")) == 2
    table = bench("reproduce", "fru-paper", *SHORT).stdout
    assert "2*" in table
    assert "not the paper's length" in table


def test_the_authors_run_is_the_last_epochs_and_has_no_validation(reproduced: tuple[Bench, dict[str, Any]]) -> None:
    bench, document = reproduced
    (run_id,) = document["cells"][0]["authors_protocol"]["run_ids"]
    record = bench.json("show", run_id)
    assert record["protocol"] == -1
    assert record["task"] == "mix-poly-5@fru-paper"
    assert set(record["metrics"]) == {"train", "test"}
    assert set(record["facts"]["splits"]) == {"train", "test"}
    assert record["best_epoch"] == record["epochs"] == 2
    assert {(point["name"], point["epoch"]) for point in record["curves"]} == {
        (name, epoch) for name in ("train/loss", "lr") for epoch in (1, 2)
    }
    assert record["config_source"]["epochs"] == "flag"
    assert bench.json(*record["command"].split()[3:])["cells"][0]["authors_protocol"]["run_ids"] == [run_id]


def test_a_stopped_run_of_the_authors_protocol_gives_what_it_would_have_given(
    reproduced: tuple[Bench, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, document = reproduced
    bench = Bench(tmp_path)
    bench.env = whole.env | bench.env
    words = ("reproduce", "fru-paper", *SHORT, "--protocol", "authors")
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    with monkeypatch.context() as stop:
        stop.setattr(callbacks.StopAtStep, "on_train_batch_end", interrupt_in_the_second_epoch)
        bench(*words, code=130)
    assert [run["status"] for run in bench.json("runs")] == ["interrupted"]
    (run_id,) = bench.json(*words)["cells"][0]["authors_protocol"]["run_ids"]
    assert [run_id] == document["cells"][0]["authors_protocol"]["run_ids"]
    one, other = (each.json("show", run_id) for each in (whole, bench))
    assert (one["attempt"], other["attempt"]) == (1, 2)
    for part in ("metrics", "curves", "epochs", "steps"):
        assert one[part] == other[part]


def interrupt_in_the_second_epoch(stop: Any, trainer: Any, *_: Any) -> None:
    if trainer.global_step > 1.5 * stop.step / 2:
        raise KeyboardInterrupt


def test_the_last_epochs_network_is_kept_before_the_checkpoint_that_says_so(
    reproduced: tuple[Bench, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.env = reproduced[0].env | bench.env
    words = ("reproduce", "fru-paper", *SHORT, "--protocol", "authors")
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    save = checkpoints.KeepLast.on_train_epoch_end

    def stop_after_the_last(keep: Any, trainer: Any, *rest: Any) -> None:
        save(keep, trainer, *rest)
        if trainer.should_stop:
            raise KeyboardInterrupt

    with monkeypatch.context() as stop:
        stop.setattr(checkpoints.KeepLast, "on_train_epoch_end", stop_after_the_last)
        bench(*words, code=130)
    (run_id,) = bench.json(*words)["cells"][0]["authors_protocol"]["run_ids"]
    assert bench.json("show", run_id)["best_epoch"] == 2


def test_our_run_is_repeated_by_its_command(reproduced: tuple[Bench, dict[str, Any]]) -> None:
    bench, document = reproduced
    (run_id,) = document["cells"][0]["our_protocol"]["run_ids"]
    words = bench.json("show", run_id)["command"].split()[3:]
    assert words[words.index("--protocol") + 1] == "ours"
    assert bench.json(*words)["cells"][0]["our_protocol"]["run_ids"] == [run_id]


def test_the_authors_protocol_is_on_no_board(reproduced: tuple[Bench, dict[str, Any]]) -> None:
    bench, _ = reproduced
    assert {row["task"] for row in bench.json("leaderboard")} == {"mix-poly-5"}
    runs = Store(str(bench.db), read_only=True).runs()
    assert [run.task for run in runs if run.protocol < 0] == ["mix-poly-5@fru-paper"]
    for suite in SUITES.values():
        assert not any(suite.includes(run) for run in runs if run.protocol < 0)
        assert not any(SUFFIX in task for task in suite.tasks)
    assert not any(SUFFIX in name for name in task_names())
    assert "no task named" in bench.refused("run", "--model", "rnn", "--task", f"mix-poly-5{SUFFIX}")


def test_a_protocol_can_be_run_alone(bench: Bench) -> None:
    bench.env["BENCH_CACHE_DIR"] = str(bench.folder)  # the mixtures are still a tenth, see `reproduced`
    document = bench.json("reproduce", "fru-paper", *SHORT, "--protocol", "ours", "--time-limit", "0s")
    assert document["cells"][0]["authors_protocol"] is None
    assert document["cells"][0]["our_protocol"]["missing"] == document["missing"] == 1


def test_data_that_cannot_be_had_is_left_out_with_the_reason(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Any) -> Path:
        raise DataError(f"{file.name} can't be downloaded")

    monkeypatch.setattr(_files, "_download", refuse)
    document = bench.json("reproduce", "fru-paper", "--only", "smnist,imdb", "--models", "lstm", "--time-limit", "0s")
    assert {row["task"]: "can't be downloaded" in row["skipped"] for row in document["cells"]} == {
        "imdb": True, "smnist": True,
    }  # fmt: skip
    assert document["skipped"][0]["command"].startswith("python -m bench reproduce fru-paper --only ")
    assert json.dumps(document)


def test_fashion_stands_in_for_the_digits_by_our_protocol(bench: Bench) -> None:
    of_task = {task: [each for each in experiments() if each.task == task] for task in ("smnist", "fashion")}
    assert [each.settings for each in of_task["fashion"]] == [each.settings for each in of_task["smnist"]]
    words = ("reproduce", "fru-paper", "--time-limit", "0s", "--models", "fru")
    rows = bench.json(*words, "--only", "fashion")["cells"]
    assert [(row["name"], row["authors_protocol"], row["our_protocol"]["missing"]) for row in rows] == [
        ("FRU(40,10)", None, 3), ("FRU(60,10)", None, 3),
    ]  # fmt: skip
    assert {row["published"]["reason"] for row in rows} == {"the paper has smnist, not fashion"}
    assert "no task of the paper named 'fashion'" in bench.refused(*words, "--only", "fashion", "--protocol", "authors")
    assert "fashion" not in {experiment.task for experiment in chosen((), (), ("ours",))}, "unless it is asked for"


def test_a_wrong_name_is_refused(bench: Bench) -> None:
    assert "Did you mean 'mix-sin'?" in bench.refused("reproduce", "fru-paper", "--only", "mix-sine")
    assert "fru, lstm, rnn, sru" in bench.refused("reproduce", "fru-paper", "--models", "gru")
    assert "fru-paper" in bench.refused("reproduce", "another-paper")


def test_a_papers_runs_are_published_as_text(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two runs at the paper's length, which is made short here: written, read into another database, shown there."""
    monkeypatch.setattr(Experiment, "epochs", 1)
    monkeypatch.setattr(fru_paper, "experiments", cache(experiments.__wrapped__))  # others have made theirs already
    monkeypatch.setattr(MixtureTask, "counts", {"train": 64, "validation": 32, "test": 32})
    monkeypatch.setattr(MixtureAsPublished, "count_all", 80)
    bench.env["BENCH_CACHE_DIR"] = str(tmp_path / "cache")
    words = ("reproduce", "fru-paper", "--only", "mix-poly-5", "--models", "rnn", "--seeds", "1")
    document = bench.json(*words)
    bench("db", "export", str(tmp_path / "published"))
    files = {str(path.relative_to(tmp_path / "published")) for path in tmp_path.glob("published/**/*.json")}
    assert files == {f"fru-paper/mix-poly-5/rnn-{protocol}.json" for protocol in ("ours", "authors")}
    (tmp_path / "other").mkdir()
    other = Bench(tmp_path / "other")
    other.env["BENCH_PUBLISHED"] = str(tmp_path / "published")
    shown = other.json(*words, "--time-limit", "0s")
    assert shown["cells"][0]["authors_protocol"] == document["cells"][0]["authors_protocol"]
    assert shown["missing"] == 0
