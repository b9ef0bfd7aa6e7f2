"""Tables and papers for other programs: right, complete, and harmless whatever the names in them are."""

import csv
import io
import re
from dataclasses import replace
from typing import Any

import pytest

from bench.catalog.names import display_name
from bench.common.csv_latex import csv_text, latex_escaped
from bench.ranking.rows import SuiteRow, TaskScore
from bench.reports.board_formats import bibtex, board_csv, board_latex
from db.store import Store
from models.shared.contract import Paper
from tests.conftest import Bench
from tests.support.synthetic import fill

BOARD = ("leaderboard", "--suite", "quick-v1", "--budget", "10k")
ROW = SuiteRow(
    rank_low=1, rank_high=3, model="fru", wrapper="plain", budget="10k", tuning="tuned", settings="", score=75.04,
    score_low=70.0, score_high=80.0, score_low_tasks=None, score_high_tasks=None, learned=0.8, params=9_876.4,
    params_core=9_000.0, params_embedding=0.0, params_readout=876.4, state_bytes=None, hardware=("A", "B"),
    train_seconds=None, samples_per_second=None, tasks_done=2, tasks_total=2, seeds=5, failures=1,
    verification="rescored", p_front=0.5, budget_auc=None,
    tasks=(TaskScore(task="a", score=70.0, std=1.0, learned=0.8, seeds=5, failures=0, no_spread=False),
           TaskScore(task="b", score=None, std=None, learned=None, seeds=0, failures=0, no_spread=False)),
)  # fmt: skip


@pytest.fixture
def filled(bench: Bench) -> Bench:
    store = Store(str(bench.db))
    fill(store, models=["fru", "gru", "lstm"])
    fill(store, models=["sru"], seeds=2)
    return bench


def test_csv_holds_what_json_holds(filled: Bench) -> None:
    rows = filled.json(*BOARD)
    records = list(csv.DictReader(io.StringIO(filled(*BOARD, "--csv").stdout)))
    assert [record["model"] for record in records] == [row["model"] for row in rows]
    for record, row in zip(records, rows, strict=True):
        assert record.pop("hardware") == "; ".join(row.pop("hardware"))
        by_task = {f"{what} {t['task']}": t[what] for t in row.pop("tasks") for what in ("score", "learned")}
        assert {name: text and float(text) for name, text in record.items() if name in by_task} == by_task
        assert {name: record[name] for name in row} == {
            name: "" if value is None else str(value) for name, value in row.items()
        }


def test_latex_holds_the_ranks(filled: Bench) -> None:
    rows = filled.json(*BOARD)
    lines = filled(*BOARD, "--latex").stdout.splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    cells = [line.removesuffix(r" \\").split(" & ") for line in body]
    assert [line[1] for line in cells] == [display_name(row["model"]) for row in rows]
    assert [line[3] for line in cells] == [f"{row['score']:.1f}" for row in rows]
    assert cells[-1][0] == "--"  # two seeds are not enough for a rank
    assert {len(line) for line in cells} == {len(re.match(r"[lr]+", lines[1].split("}{")[1])[0])}  # type: ignore[index]


def test_latex_by_task(filled: Bench) -> None:
    lines = filled("leaderboard", "--task", "digits", "--latex").stdout.splitlines()
    assert len([line for line in lines if line.startswith("digits & ")]) == 4


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\t1", "\n1"]
)
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    row = replace(ROW, model=text, settings=f"{text}=3", hardware=(text,))
    task = replace(ROW.tasks[0], task=text)
    for made in (csv_text([text], [[text]]), board_csv([replace(row, tasks=(task,))], [text])):
        cells = [cell for line in csv.reader(io.StringIO(made, newline="")) for cell in line]
        assert "'" + text.replace("\r", " ").replace("\n", " ") in cells
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]


def test_numbers_in_a_csv_stay_numbers() -> None:
    assert csv_text(["a", "b"], [[-1.5, "-1.5"], ["-3e-5", None]]) == "a,b\n-1.5,-1.5\n-3e-5,\n"


def test_a_row_by_hand() -> None:
    (record,) = csv.DictReader(io.StringIO(board_csv([ROW], ["b", "a"])))
    assert (record["hardware"], record["train_seconds"], record["params"]) == ("A; B", "", "9876.4")
    assert list(record)[-4:] == ["score b", "score a", "learned b", "learned a"]
    assert [record[name] for name in list(record)[-4:]] == ["", "70.0", "", "0.8"]
    line = board_latex([ROW]).splitlines()[5]
    assert line == r"1--3 & FRU tuned & plain & 75.0 & 70.0--80.0 & 80\% & 9,876 & 2 of 2 & 5 & 1 & rescored \\"
    unknown = replace(ROW, rank_low=2, rank_high=2, score=None, score_low=None, score_high=None, learned=None)
    assert board_latex([unknown]).splitlines()[5].startswith("2 & FRU tuned & plain & -- & -- & -- & 9,876")


def typeset(latex: str) -> str:
    """What LaTeX would set, by the few commands that escaping uses."""
    for command, character in (
        (r"\textbackslash{}", "\\"), (r"\textasciitilde{}", "~"), (r"\textasciicircum{}", "^"),
        (r"\textless{}", "<"), (r"\textgreater{}", ">"), (r"\textbraceleft{}", "{"), (r"\textbraceright{}", "}"),
    ):  # fmt: skip
        latex = latex.replace(command, f"\0{ord(character):02x}")
    assert not re.search(r"(?<!\\)[&%$#_{}~^]", latex), f"special in LaTeX: {latex}"
    latex = re.sub(r"\\([&%$#_])", r"\1", latex)
    assert "\\" not in latex
    return re.sub("\0(..)", lambda match: chr(int(match[1], 16)), latex)


@pytest.mark.parametrize(
    "text", [r"\input{/etc/passwd}", "a & b % c", "$x_1^2$ ~ #1", r"{\bf x}", r"\\ \end{tabular}", "<script>", "é – ±"]
)
def test_latex_shows_any_text_as_it_is(text: str) -> None:
    escaped = latex_escaped(text)
    if "–" in text:
        assert escaped == r"é -- $\pm$"
    else:
        assert typeset(escaped) == text
    row = board_latex([replace(ROW, model=text)])
    assert row.count(r"\end{tabular}") == 1
    assert escaped in row


def entries(text: str) -> dict[str, dict[str, str]]:
    """BibTeX read back: key → field → value, by counting braces."""
    found: dict[str, dict[str, str]] = {}
    for entry in re.findall(r"@misc\{([^,]+),\n(.*?)\n\}\n", text, re.DOTALL):
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry[1], re.MULTILINE))
        assert all(value.count("{") == value.count("}") for value in fields.values())
        found[entry[0]] = fields
    return found


def test_bibtex_has_each_paper_once() -> None:
    shared = Paper("Were RNNs All We Needed?", 2024, "https://arxiv.org/abs/2410.01201")
    own = Paper("LSTM & co: 100% {gates}", 1997, "https://doi.org/10.1162/neco.1997.9.8.1735")
    read = entries(bibtex({"minlstm": shared, "mingru": shared, "lstm": own}))
    assert list(read) == ["lstm1997", "mingru2024"]
    assert read["mingru2024"] == {
        "title": "{Were RNNs All We Needed?}", "year": "2024", "eprint": "2410.01201", "archiveprefix": "arXiv",
        "url": "https://arxiv.org/abs/2410.01201", "note": "On the board: minGRU, minLSTM",
    }  # fmt: skip
    assert read["lstm1997"]["title"] == r"{LSTM \& co: 100\% \textbraceleft{}gates\textbraceright{}}"
    assert "eprint" not in read["lstm1997"]


def test_bibtex_of_hostile_names() -> None:
    paper = Paper("A }, } @misc{evil,\n x", 2026, "https://example.org/}{\\x y")
    read = entries(bibtex({"my_rnn@1a,b}": paper}))
    assert list(read) == ["my-rnn-1a-b2026"]
    assert read["my-rnn-1a-b2026"]["url"] == "https://example.org/xy"


def test_every_model_can_be_cited(bench: Bench) -> None:
    from bench.reports.listings import model_facts

    papers = {name: facts.paper for name, facts in model_facts().items()}
    assert len(entries(bibtex(papers))) == len({*papers.values()}) > 15


def test_a_board_without_rows(bench: Bench) -> None:
    Store(str(bench.db))
    header, *rest = filled_lines(bench(*BOARD, "--csv"))
    assert header.startswith("rank_low,rank_high,model,")
    assert not rest
    assert r"\bottomrule" in bench(*BOARD, "--latex").stdout


def filled_lines(done: Any) -> list[str]:
    return [line for line in done.stdout.splitlines() if line]
