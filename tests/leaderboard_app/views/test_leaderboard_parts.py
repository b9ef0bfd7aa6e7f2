"""What the board is made of: filters, sentences, charts, marks, addresses, escaped text."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest
import streamlit
from markdown_it import MarkdownIt

from bench.ranking.contest import InTier, InTime
from bench.ranking.rows import Board, SuiteRow
from bench.reports.listings import ModelFacts, model_facts
from leaderboard_app.views.leaderboard import charts, exports, sentences, table
from leaderboard_app.views.leaderboard.by_task_chart import score_against_params
from leaderboard_app.views.leaderboard.filters import CAUSAL, NOT_CAUSAL, Filters, matching, ordered
from leaderboard_app.widgets.links import entry_id, page_url
from leaderboard_app.widgets.marks import COLOURS, SHAPES, UNKNOWN, Mark, mark
from leaderboard_app.widgets.text import plain
from models.shared.contract import Paper
from tests.bench.reports.test_board_formats import ROW
from tests.conftest import ROOT
from tests.support.grids import Grid, read

THEME = ROOT / "leaderboard_app" / ".streamlit" / "config.toml"
HOSTILE = [
    "<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](https://evil.example/pixel.png)", "**bold** _it_",
    "`code` $x^2$ :red[x] :material/home:", "a\n# heading", "1. list", "~~gone~~ | table |", "&lt;b&gt;", "\\*", "- x",
]  # fmt: skip
FACTS = {
    "fru": ModelFacts(family="nonlinear recurrence", causal=True, recurrent=True, wrapper="plain",
                      paper=Paper("Learning Long Term Dependencies via Fourier Recurrent Units", 2018, "https://a")),
    "bert": ModelFacts(family="attention", causal=False, recurrent=False, wrapper="residual",
                       paper=Paper("Pre-training", 2019, "https://b")),
}  # fmt: skip
ROWS = [
    replace(ROW, model="fru", verification="reproduced", hardware=("CPU",)),
    replace(ROW, model="fru", wrapper="residual", settings="size=3", hardware=("CPU", "GPU")),
    replace(ROW, model="bert", hardware=("GPU",)),
    replace(ROW, model="mine@1234abcd", hardware=("GPU",)),
]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(), [0, 1, 2, 3]),
        (Filters(search="FRU"), [0, 1]),
        (Filters(search="fourier size"), [1]),
        (Filters(search="attention"), [2]),
        (Filters(search="nothing like it"), []),
        (Filters(families=("attention", "unknown")), [2, 3]),
        (Filters(causal=CAUSAL), [0, 1]),
        (Filters(causal=NOT_CAUSAL), [2]),
        (Filters(years=(2019, 2020)), [2]),
        (Filters(years=(2018, 2019)), [0, 1, 2]),
        (Filters(verification=("reproduced", "rescored")), [0, 1, 2, 3]),
        (Filters(verification=("reproduced",)), [0]),
        (Filters(hardware=("GPU",)), [2, 3]),
        (Filters(hardware=("GPU", "CPU")), [0, 1, 2, 3]),
        (Filters(search="fru", hardware=("CPU",)), [0]),
    ],
)
def test_filters(filters: Filters, kept: list[int]) -> None:
    assert matching(ROWS, filters, FACTS) == [ROWS[index] for index in kept]


def board(*ranks: tuple[int | None, int | None], **changes: Any) -> Board:
    names = "abcdefghij"
    rows = [
        replace(ROW, model=names[i], tuning="defaults", rank_low=low, rank_high=high, **changes)
        for i, (low, high) in enumerate(ranks)
    ]
    return Board(rows=tuple(rows), smallest_difference=3.21)


@pytest.mark.parametrize(
    ("ranks", "said"),
    [
        ([(1, 1)], "No other entry is complete."),
        ([(1, 1), (2, 2), (None, None)], "It can be told apart from every other entry."),
        ([(1, 2), (1, 2), (3, 3)], "It can't be told apart from b."),
        ([(1, 3), (1, 3), (1, 3)], "It can't be told apart from b, c."),
        # c is worse than b, and yet not told apart from a: its name is not among those that may be first.
        ([(1, 3), (1, 2), (2, 3)], "It can't be told apart from 2 others."),
        ([(1, 7)] * 7, "It can't be told apart from 6 others."),
    ],
)
def test_the_headline_says_how_sure_the_first_place_is(ranks: Any, said: str) -> None:
    headline = sentences.headline(board(*ranks), "at 10k parameters")
    assert "**a** scores highest at 10k parameters: 75.0 of 100 (95% interval 70.0 to 80.0)" in headline
    assert said in headline


def test_the_headline_says_how_far_to_believe_it() -> None:
    headline = sentences.headline(board((1, 1), failures=2, verification="self-reported"), "here")
    assert "5 seeds per task; 2 of its runs failed; nobody else has verified it yet." in headline
    headline = sentences.headline(board((1, 1), failures=0, verification="reproduced"), "here")
    assert "none of its runs failed; the host trained it again and found the same." in headline
    headline = sentences.headline(board((1, 1), score_low=None, score_high=None), "here")
    assert "75.0 of 100\n" in headline


def test_nothing_is_ranked() -> None:
    assert "Nothing is ranked here yet" in sentences.headline(board((None, None)), "here")


def test_what_could_be_told_apart() -> None:
    assert sentences.detectable(board((1, 1), (2, 2))) == (
        "Two entries must differ by about **3.2 points** to be told apart here."
    )
    assert "no difference" in sentences.detectable(replace(board((1, 1), (1, 2)), smallest_difference=None))
    assert sentences.detectable(board((1, 1), (None, None))) == ""


def test_intervals_and_times_in_words() -> None:
    assert sentences.interval(ROW) == "70.0 – 80.0"
    assert sentences.interval(replace(ROW, score_low=None, score_high=None)) == "no spread seen"
    assert sentences.interval(replace(ROW, score_low=None, score_high=None, seeds=1)) == ""
    shown = [sentences.duration(seconds) for seconds in (0.24, 45, 60, 90, 750, 12_600, 172_800, 864_000)]
    assert shown == ["0.2 s", "45 s", "1 min", "1.5 min", "12 min", "3.5 h", "2 d", "10 d"]


def drawn(rows: Sequence[SuiteRow], monkeypatch: pytest.MonkeyPatch, **columns: Any) -> Grid:
    """The table as it is sent to the browser."""
    sent: list[str] = []
    monkeypatch.setattr(streamlit, "html", sent.append)
    monkeypatch.setattr("leaderboard_app.views.leaderboard.table.model_facts", lambda: FACTS)
    mixers = {ROWS[0].key: 0.42}
    table.show(
        rows,
        **{"tasks": [], "extra": [], "timed": False, "mixers": lambda: mixers} | {"name": table.shown_name} | columns,
    )
    (shown,) = read(sent[0])
    return shown


def test_cells_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [column.name for column in (*table.EXTRA, table.MIXER)]
    shown = drawn(
        [ROWS[0], replace(ROWS[2], score=None, rank_low=None)], monkeypatch, tasks=["b", "a"], extra=every, timed=True
    )
    assert {name: texts[0] for name, texts in shown.columns.items()} == {
        "rank": "1–3", "architecture": "FRU tuned", "tier": "10k", "train time": "", "score": "75.0",
        "95% interval": "70.0 – 80.0", "learned": "80%", "parameters": "9,876", "core": "9,000", "state": "",
        "samples/s": "", "tasks": "2 of 2", "seeds": "5", "failures": "1", "verification": "✓✓ reproduced", "b": "",
        "b learned": "", "a": "70.0", "a learned": "80%",
        "on front": "50%", "BudgetAUC": "", "for other tasks": "", "embedding": "0", "readout": "876",
        "wrapper": "plain", "family": "nonlinear recurrence", "year": "2018", "hardware": "CPU",
        "mixer": "42%",
    }  # fmt: skip
    assert shown.columns["mixer"][1] == ""
    assert (shown.columns["rank"][1], shown.columns["score"][1], shown.faded) == ("–", "", [False, True])


def test_an_architecture_links_to_its_page_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "mine #1/2?&=<b>\"'"
    shown = drawn([*ROWS, replace(ROW, model=name, wrapper="residual")], monkeypatch)
    assert shown.names() == ["fru", "fru", "bert", "mine@1234abcd", name]
    assert shown.columns["architecture"] == [
        "FRU tuned", "FRU tuned size=3 in residual", "bert tuned in plain", "mine@1234abcd tuned", f"{name} tuned",
    ]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_text_in_a_table_is_nothing_but_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(ROW, model=text, settings=text, hardware=(text,), wrapper=text, budget=text)
    shown = drawn([row], monkeypatch, extra=["hardware", "wrapper"], timed=True)
    assert [shown.columns[name] for name in ("hardware", "wrapper", "tier")] == [[text.strip()]] * 3
    assert shown.names() == [text]


def test_orders() -> None:
    rows = [replace(ROW, model=name, params=params, state_bytes=state) for name, params, state in
            (("c", 3.0, None), ("a", 1.0, 9.0), ("b", 1.0, 5.0))]  # fmt: skip
    names = {
        by: "".join(row.model for row in ordered(rows, by))
        for by in ("rank", "name", "fewest parameters", "smallest state")
    }
    assert names == {"rank": "cab", "name": "abc", "fewest parameters": "abc", "smallest state": "bac"}
    scores = {"c": 10.0, "a": None, "b": 90.0}
    rows = [replace(row, tasks=(replace(ROW.tasks[0], score=scores[row.model]),)) for row in rows]
    assert [row.model for row in ordered(rows, "a")] == ["b", "c", "a"]
    assert [row.model for row in ordered(rows, "no such task")] == ["c", "a", "b"]


def points(*values: tuple[float, float, bool]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["params", "score", "ranked"])


def test_the_front_by_hand() -> None:
    shown = points((30, 70, True), (10, 50, True), (20, 40, True), (20, 60, True), (5, 99, False), (40, 70, True))
    assert charts.front(shown, "params")[["params", "score"]].to_numpy().tolist() == [[10, 50], [20, 60], [30, 70]]


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_nothing_dominates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [(float(p), float(s), True) for p, s in zip(rng.integers(1, 8, 20), rng.integers(0, 8, 20), strict=True)]
    dominated = {
        a for a in values for b in values if b[0] <= a[0] and b[1] >= a[1] and (b[0] < a[0] or b[1] > a[1])
    }  # fmt: skip
    found = {(p, s, True) for p, s in charts.front(points(*values), "params")[["params", "score"]].to_numpy()}
    assert found == set(values) - dominated


def test_a_chart_is_drawn_once() -> None:
    rows = tuple(ROWS)
    assert charts.intervals(rows) is charts.intervals(tuple(ROWS))
    assert charts.intervals((replace(ROW, score=None),)) is None
    assert charts.score_against(rows, charts.TIME) is None  # nobody's time is known


def datasets(spec: charts.Spec) -> list[list[dict[str, Any]]]:
    return list(spec["datasets"].values())


@pytest.mark.parametrize(
    ("points", "named"),
    [
        ([(10_000, 99.0), (10_010, 98.0), (10_000, 60.0), (100_000, 97.0)], ["m0", "m2", "m3"]),
        ([(10_000, 99.0), (10_000, 99.0)], ["m0"]),
        ([(10_000, 99.0)], ["m0"]),
        ([(10_000, 90.0), (10_700, 90.0), (100_000, 10.0)], ["m1", "m2"]),  # m0's would stand on m1
        # m1's would stand on m0, and m2's beside m1, which has none.
        ([(12_000, 92.0), (10_000, 90.0), (10_200, 86.0), (100_000, 10.0)], ["m0", "m3"]),
    ],
)
def test_of_points_close_together_the_best_is_named(points: list[tuple[int, float]], named: list[str]) -> None:
    rows = pd.DataFrame([
        {"model": f"m{index}", "entry": f"m{index}", "params": params, "score": score, "score_std": None, "seeds": [0],
         "failures": 0}
        for index, (params, score) in enumerate(points)
    ])  # fmt: skip
    spec = score_against_params(rows).to_dict()
    labels = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "text")
    assert [row["model"] for row in spec["datasets"][labels["data"]["name"]]] == named


def test_no_name_stands_where_it_could_be_anothers() -> None:
    """The second best, a little smaller, is at the left of the best, and stays so if the best has no room."""
    best, second = replace(ROW, score=96.5, params=9_804.0), replace(ROW, model="gru", score=96.3, params=9_659.0)
    others = [replace(ROW, model="lem", score=20.0, params=params) for params in (9_145.0, 9_985.0)]
    assert names((best, second, *others)) == ["FRU tuned"]
    assert names((best, replace(second, params=9_850.0), *others)) == []


def names(rows: tuple[SuiteRow, ...]) -> list[str]:
    """Those that the chart says beside marks, to the right of them."""
    spec = charts.score_against(rows, charts.PARAMETERS)
    assert spec is not None
    layer = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "text")
    assert layer["mark"]["align"] == "left"
    return [row["entry"] for row in spec["datasets"][layer["data"]["name"]]]


@pytest.mark.parametrize(("low", "begin"), [(18.3, 10), (20.0, 10), (0.0, 0), (100.0, 90)])
def test_scores_are_drawn_up_to_100(low: float, begin: int) -> None:
    spec = charts.score_against((replace(ROW, score=100.0, score_low=low, score_high=100.0),), charts.PARAMETERS)
    assert spec is not None
    scales = [layer["encoding"]["y"]["scale"] for layer in spec["layer"]]
    assert scales == [{"domain": [begin, 100]}] * 4


def test_what_is_in_front() -> None:
    rows = (replace(ROW, budget="10k"), replace(ROW, budget="100k"), replace(ROW, rank_low=None, rank_high=None))
    spec = charts.score_against(rows, charts.PARAMETERS, "10k")
    assert spec is not None
    (shown,) = [points for points in datasets(spec) if len(points) == 3]
    assert [point["in_front"] for point in shown] == [True, False, False]
    spec = charts.score_against(rows, charts.PARAMETERS, None)
    assert spec is not None
    (shown,) = [points for points in datasets(spec) if len(points) == 3]
    assert [point["in_front"] for point in shown] == [True, True, False]


def test_wrappers_that_are_contests_of_their_own_have_a_front_each() -> None:
    rows = (replace(ROW, params=100.0, score=70.0, wrapper="residual"), replace(ROW, params=200.0, score=60.0))
    for apart, fronts in ((False, {70}), (True, {60, 70})):
        spec = charts.score_against(rows, charts.PARAMETERS, apart=apart)
        assert spec is not None
        assert {point["score"] for point in spec["datasets"][spec["layer"][0]["data"]["name"]]} == fronts


# Machado, Oliveira & Fernandes (2009), severity 1: linear RGB as a reader sees it who lacks a kind of cones.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# Ottosson (2020), OKLab.
TO_CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_keep_apart(kind: str) -> None:
    seen = np.clip(np.array([linear(colour) for colour in (*COLOURS, UNKNOWN)]) @ np.array(BLINDNESS[kind]).T, 0, 1)
    lab = np.cbrt(seen @ np.array(TO_CONES).T) @ np.array(TO_LAB).T
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2) + np.eye(len(lab))
    assert distance.min() > 0.1


@pytest.mark.parametrize("page", re.findall(r'^backgroundColor = "(.*)"', THEME.read_text(), re.MULTILINE))
def test_marks_stand_out_from_the_page(page: str) -> None:
    luminance = [linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (page, *COLOURS, UNKNOWN)]
    for colour in luminance[1:]:
        low, high = sorted((luminance[0], colour))
        assert (high + 0.05) / (low + 0.05) >= 3


def test_there_are_two_themes() -> None:
    assert len(re.findall("^backgroundColor", THEME.read_text(), re.MULTILINE)) == 2


def test_each_architecture_has_a_mark_of_its_own() -> None:
    marks = [mark(name) for name in model_facts()]
    assert len(set(marks)) == len(marks)
    assert {each.colour for each in marks} <= {*COLOURS, UNKNOWN}
    assert Mark(UNKNOWN, SHAPES[0]) not in marks
    assert {each.shape for each in marks} <= set(SHAPES)
    assert mark("mine@1234abcd").colour == UNKNOWN
    families: dict[str, set[str]] = {}
    for name, facts in model_facts().items():
        families.setdefault(facts.family, set()).add(mark(name).colour)
    assert {len(colours) for colours in families.values()} == {1}


@pytest.mark.parametrize("text", HOSTILE)
def test_plain_text_is_nothing_but_text(text: str) -> None:
    """By the CommonMark parser, with the extensions that Streamlit has switched on too."""
    (paragraph, inline, end) = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(plain(text))
    assert (paragraph.type, end.type) == ("paragraph_open", "paragraph_close")
    assert {token.type for token in inline.children or []} <= {"text", "text_special"}
    assert "".join(token.content for token in inline.children or []) == text.replace("\n", " ")
    # Directives, emoji codes and formulas are Streamlit's own: each begins with a mark that must be escaped.
    assert not re.search(r"(?<!\\)[:$\[<!`*_]", plain(text))


@pytest.mark.parametrize(
    ("contests", "stem"),
    [
        ([InTier("10k")], "quick-v1-10k-score-against-parameters"),
        ([InTier("100k")], "quick-v1-100k-score-against-parameters"),
        ([InTier("10k", "plain")], "quick-v1-10k-plain-score-against-parameters"),
        ([InTier("10k", "residual"), InTier("10k", "plain")], "quick-v1-10k-score-against-parameters"),
        ([InTime("AMD EPYC 7B13, 2 threads", 90)], "quick-v1-1.5-min-amd-epyc-7b13-2-threads-score-against-parameters"),
        ([InTime("a/..\\b", 900)], "quick-v1-15-min-a-..-b-score-against-parameters"),
        ([InTime("cpu", 60, "residual")], "quick-v1-1-min-cpu-residual-score-against-parameters"),
    ],
)
def test_names_of_files(contests: list[InTier | InTime], stem: str) -> None:
    assert exports.stem("quick-v1", contests, "Score against parameters") == stem


def test_addresses() -> None:
    entries = ["fru plain 10k defaults", 'a&b=c#d plain 10k defaults x="1"']
    path, query = page_url("compare", suite="quick-v1", entries=entries).split("?")
    assert path == "compare"
    assert parse_qs(query)["entries"] == entries
    assert page_url("leaderboard", suite="by-task") == "./?suite=by-task"
    assert page_url("studies") == "studies"
    assert entry_id(ROW) == "fru plain 10k tuned"
