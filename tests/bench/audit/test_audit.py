"""The audit: what it finds in the board that was published first, and that nothing else is flagged."""

import re
from pathlib import Path
from typing import Any

import pytest

from bench.audit import flags
from bench.audit.audited import AuditedCell, AuditedEntry
from bench.audit.rate_sensitivity import rate_sensitivities, rate_sensitivity
from bench.catalog.registry import find_model
from bench.ranking.cells import EntryKey
from bench.runs.search_ranges import at_edge
from db.schema import Trial
from models.shared.contract import SequenceModel
from tests.conftest import Bench
from tests.support.runs import NOON, make_run

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A database with the published results alone."""
    bench = Bench(tmp_path_factory.mktemp("published"))
    del bench.env["BENCH_PUBLISHED"]
    bench("db", "upgrade")
    return bench


@pytest.fixture(scope="module")
def published(board: Bench) -> Rows:
    rows: Rows = board.json("audit", "--suite", "quick-v1")
    return rows


def flagged(rows: Rows, model: str, name: str, tuning: str = "tuned") -> list[str]:
    (row,) = [row for row in rows if (row["model"], row["tuning"]) == (model, tuning)]
    return [flag["what"] for flag in row["flags"] if flag["name"] == name]


def test_the_fru_had_too_few_statistics(published: Rows) -> None:
    assert flagged(published, "fru", "few-units") == ["adding-200: stat_size is 3", "mix-sin: stat_size is 1"]
    assert flagged(published, "fru", "old-model")
    assert "mix-sin: 4 of 5 seeds learned" in flagged(published, "fru", "seeds-disagree")


def test_all_studies_drew_the_same_points(published: Rows) -> None:
    """Five rates were drawn in every study: 33 of 84 cells share theirs with other architectures."""
    shared = [cell["same_rate_as"] for row in published for cell in row["cells"] if row["tuning"] == "tuned"]
    assert (sum(count > 0 for count in shared), len(shared)) == (33, 84)
    assert any("lr 0.0191 was also drawn for" in what for what in flagged(published, "fru", "same-draw"))


def test_tuning_kept_the_defaults_where_another_rate_was_better(published: Rows) -> None:
    assert any(what.startswith("digits: ") for what in flagged(published, "minlstm", "defaults-won"))


def test_the_blocks_differed(published: Rows) -> None:
    blocks = {row["model"]: row["wrapper"] for row in published}
    assert (blocks["s4d"], blocks["lstm"]) == ("residual", "plain")
    assert flagged(published, "s4d", "mean-pooling")
    assert not flagged(published, "lstm", "mean-pooling")


def test_an_entry_is_shown_in_full(board: Bench) -> None:
    shown = board("audit", "--suite", "quick-v1", "--model", "fru").stdout
    assert "mix-sin: 80.1 from 5 seeds, 80% learned; depth 1, output_size 42, recur_size 13, stat_size 1;" in shown
    assert "few-units: mix-sin: stat_size is 1" in shown


def test_what_was_measured_is_kept_as_an_event(board: Bench) -> None:
    """26% of the FRU's networks were found dead on digits by another count, of 200 starts."""
    done = board("audit", "--suite", "quick-v1", "--model", "fru", "--measure")
    assert "fru (plain) on digits: 27% of 100 networks are dead at the start" in done.stderr
    rows = board.json("audit", "--suite", "quick-v1")
    assert flagged(rows, "fru", "dead-starts", "defaults") == ["digits: 27% of networks are dead at the start"]
    again = board("audit", "--suite", "quick-v1", "--model", "fru", "--measure")
    assert "dead at the start\n" not in again.stderr


def trial(number: int, lr: float, value: float | None, **changes: Any) -> Trial:
    values: dict[str, Any] = {
        "study": "s", "protocol": 1, "model": "fru", "wrapper": "plain", "task": "digits", "task_version": 1,
        "budget": "10k", "metric_name": "accuracy", "higher_is_better": True, "number": number, "state": "finished",
        "reason": None, "value": value, "steps": 9, "settings": {"lr": lr}, "params_total": 9, "finished_at": NOON,
    }  # fmt: skip
    return Trial(**values | changes)


def test_how_much_hangs_on_the_rate() -> None:
    """The best trial at 0.01 counts 80 points. The best at a third of its rate or less counts 50."""
    run = make_run(budget="10k", chance=0.0)
    trials = [trial(0, 0.003, 0.5), trial(1, 0.01, 0.8), trial(2, 0.009, 0.7), trial(3, 0.0001, 0.2)]
    assert rate_sensitivity(run, trials) == pytest.approx(30)
    assert rate_sensitivity(run, trials[1:3]) is None
    others = [trial(4, 0.02, 1.0, task="copy-100"), trial(5, 0.02, None, state="failed")]
    pruned = trial(6, 0.05, 0.9, state="pruned")
    assert rate_sensitivity(run, [*trials, *others, pruned]) == pytest.approx(30)
    assert rate_sensitivity(run, []) is None


def test_each_cell_is_held_against_its_own_study() -> None:
    key = EntryKey("gru", "residual", "10k", "tuned", "")
    runs = {task: make_run(budget="10k", chance=0.0, task=task) for task in ("digits", "copy-100", "mix-sin")}
    trials = [trial(0, 0.01, 0.8), trial(1, 0.001, 0.5), trial(2, 0.01, 0.9, task="copy-100")]
    trials += [trial(3, 0.1, 0.8, task="copy-100"), trial(4, 0.01, 0.9, task="mix-sin")]
    found = rate_sensitivities({(key, task): [run] for task, run in runs.items()}, trials)
    assert found == {(key, "digits"): pytest.approx(30), (key, "copy-100"): pytest.approx(10)}


def cell(**changes: Any) -> AuditedCell:
    """A cell that nobody would object to."""
    values: dict[str, Any] = {
        "task": "digits", "run_id": "0" * 16, "depth": 2, "pooling": "last", "units": {"hidden_size": 16},
        "params": 9_900, "fill": 0.99, "mixer_share": 0.5, "seeds": 5, "score": 90.0, "learned": 1.0,
        "chosen": {"lr": 0.004}, "defaults_won": False, "at_edge": [], "same_rate_as": 0, "over_none": 60.0,
        "dead": 0.0,
    }  # fmt: skip
    return AuditedCell(**values | changes)


def names(*cells: AuditedCell, protocol: int = 2, **changes: Any) -> list[str]:
    values: dict[str, Any] = {"suite": "quick-v2", "model": "gru", "wrapper": "residual", "budget": "10k",
                              "tuning": "tuned", "settings": "", "golden": (), "deviations": {}}  # fmt: skip
    entry = AuditedEntry(**values | changes, protocol=protocol, cells=cells)
    return [flag.name for flag in flags.of(entry)]


def test_nothing_is_flagged_without_a_reason() -> None:
    assert names(cell()) == []
    assert names(cell(dead=None, over_none=None, mixer_share=None, learned=0.0)) == []


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"units": {"hidden_size": 3}}, "few-units"),
        ({"pooling": "mean"}, "mean-pooling"),
        ({"fill": 0.8}, "tier-not-filled"),
        ({"mixer_share": 0.2}, "small-mixer"),
        ({"learned": 0.6}, "seeds-disagree"),
        ({"dead": 0.26}, "dead-starts"),
        ({"rate_sensitivity": 45.0}, "narrow-rate"),
        ({"defaults_won": True}, "defaults-won"),
        ({"at_edge": ["lr"]}, "edge"),
        ({"same_rate_as": 7}, "same-draw"),
        ({"over_none": 1.0}, "like-none"),
    ],
)
def test_what_is_flagged(changes: dict[str, Any], flag: str) -> None:
    assert names(cell(**changes)) == [flag]


def test_what_an_entry_is_flagged_for() -> None:
    assert names(cell(), deviations={"start": "Torch's own. To be mended."}) == ["deviation"]
    assert names(cell(), deviations={"start": "Torch's own, as it makes no difference."}) == []
    assert names(cell(), protocol=1, model="fru") == ["old-protocol", "old-model"]


@pytest.mark.parametrize(("rate", "edge"), [(1e-4, ["lr"]), (1.2e-4, ["lr"]), (3e-3, []), (2.9e-2, ["lr"])])
def test_the_edge_of_a_range_is_on_its_own_scale(rate: float, edge: list[str]) -> None:
    gru: type[SequenceModel] = find_model("gru").cls
    assert at_edge(gru, {"lr": rate}) == edge
    assert at_edge(gru, {}) == []


def test_every_flag_has_a_meaning() -> None:
    raised = re.findall(r'Flag\("([a-z-]+)"', Path(flags.__file__).read_text(encoding="utf-8"))
    assert len(raised) > 10
    assert set(raised) == flags.MEANINGS.keys()
