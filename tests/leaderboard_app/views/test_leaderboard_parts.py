"""What the board is made of: filters, sentences, charts, marks, addresses, escaped text."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import altair
import numpy as np
import pytest
import streamlit
from markdown_it import MarkdownIt
from scipy.optimize import minimize

from bench.catalog.families import FAMILIES
from bench.ranking.by_task import leaderboard
from bench.ranking.contest import InTier, InTime
from bench.ranking.rows import Board, SuiteRow
from bench.ranking.utility import score
from bench.reports.listings import ModelFacts, model_facts
from leaderboard_app.views.leaderboard import charts, exports, sentences, table
from leaderboard_app.views.leaderboard.axes import PARAMETERS, STATE, TIME, YEAR, Axis
from leaderboard_app.views.leaderboard.by_task_chart import score_against_params
from leaderboard_app.views.leaderboard.end_labels import LINE, MOST, spread
from leaderboard_app.views.leaderboard.filters import CAUSAL, NOT_CAUSAL, Filters, matching, ordered
from leaderboard_app.views.leaderboard.points import Point, front
from leaderboard_app.widgets.drawing import AROUND, Spec
from leaderboard_app.widgets.links import entry_id, page_url
from leaderboard_app.widgets.marks import COLOURS, SHAPES, UNKNOWN, Mark, family_mark, mark
from leaderboard_app.widgets.text import plain
from models.shared.contract import Paper
from tests.bench.reports.test_board_formats import ROW
from tests.conftest import ROOT
from tests.support.grids import Grid, read
from tests.support.pages import one_run

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
    table.show(
        rows,
        **{
            "tasks": [],
            "extra": [],
            "computed": lambda column: {ROWS[0].key: f"{column} of it"},
            "name": table.shown_name,
        }
        | columns,
    )
    (shown,) = read(sent[0])
    return shown


def test_cells_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [*table.CHOSEN, table.TIER]
    shown = drawn([ROWS[0], replace(ROWS[2], score=None, rank_low=None)], monkeypatch, tasks=["b", "a"], extra=every)
    assert {name: texts[0] for name, texts in shown.columns.items()} == {
        "rank": "1–3", "architecture": "FRU tuned", "tier": "10k", "train time": "", "score": "75.0",
        "95% interval": "70.0 – 80.0", "learned": "80%", "parameters": "9,876", "core": "9,000", "state": "",
        "samples/s": "", "tasks": "2 of 2", "seeds": "5", "failures": "1", "verification": "✓✓ reproduced", "b": "",
        "b learned": "", "a": "70.0", "a learned": "80%",
        "on front": "50%", "BudgetAUC": "", "for other tasks": "", "embedding": "0", "readout": "876",
        "wrapper": "plain", "family": "nonlinear recurrence", "year": "2018", "hardware": "CPU",
        **{name: f"{name} of it" for name in ("mixer", "latency", "memory", "energy", "audit flags")},
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
    shown = drawn([row], monkeypatch, extra=["hardware", "wrapper", "tier"])
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


def made(*values: tuple[float, float, bool]) -> list[Point]:
    return [{"params": params, "score": score, "ranked": ranked} for params, score, ranked in values]


def test_the_front_by_hand() -> None:
    shown = made((30, 70, True), (10, 50, True), (20, 40, True), (20, 60, True), (5, 99, False), (40, 70, True))
    assert front(shown, "params") == made((10, 50, True), (20, 60, True), (30, 70, True))
    assert front(made((5, 99, False)), "params") == []


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_nothing_dominates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [(float(p), float(s), True) for p, s in zip(rng.integers(1, 8, 20), rng.integers(0, 8, 20), strict=True)]
    dominated = {
        a for a in values for b in values if b[0] <= a[0] and b[1] >= a[1] and (b[0] < a[0] or b[1] > a[1])
    }  # fmt: skip
    assert {tuple(each.values()) for each in front(made(*values), "params")} == set(values) - dominated


def test_a_chart_is_drawn_once() -> None:
    rows = tuple(ROWS)
    assert charts.intervals(rows) is charts.intervals(tuple(ROWS))
    assert charts.intervals((replace(ROW, score=None),)) is None
    assert charts.score_against(rows, TIME) is None  # nobody's time is known


TIERED = tuple(
    replace(ROW, model=model, budget=tier, params=params, score=score, score_low=score - 4, score_high=score + 4)
    for model, scores in {"fru": (50.0, 60.0, 80.0), "gru": (40.0, 70.0, 75.0), "none": (10.0, 11.0, 12.0)}.items()
    for (tier, params), score in zip((("3k", 2_900.0), ("10k", 9_900.0), ("30k", 29_000.0)), scores, strict=True)
)


def against(rows: Sequence[SuiteRow] = TIERED, axis: Axis = PARAMETERS, **options: Any) -> Spec:
    spec = charts.score_against(tuple(rows), axis, **options)
    assert spec is not None
    return spec


def layers(spec: Spec, mark: str) -> list[tuple[Spec, list[Point]]]:
    """The layers of a kind of mark, each with its points."""
    found = [layer for layer in spec["layer"] if layer["mark"]["type"] == mark]
    return [(layer, spec["datasets"][layer["data"]["name"]]) for layer in found]


def test_a_line_goes_through_the_tiers_of_an_entry_and_a_band_is_its_interval() -> None:
    spec = against()
    ((bands, own),) = layers(spec, "area")
    assert {each["line"]: each["family"] for each in own} == {
        "fru plain tuned": "nonlinear recurrence", "gru plain tuned": "gated recurrence", "none plain tuned": "floor",
    }  # fmt: skip
    assert [(each["low"], each["high"]) for each in own if each["model"] == "fru"] == [(46, 54), (56, 64), (76, 84)]
    assert bands["encoding"]["detail"] == {"field": "line"}
    assert not [points for _, points in layers(spec, "rule") if "place" not in points[0]]
    assert [points for _, points in layers(spec, "line")][1] == own


def test_an_entry_of_one_tier_is_a_point_with_its_interval() -> None:
    one = [row for row in TIERED if row.budget == "10k"]
    spec = against(one)
    assert not layers(spec, "area")
    assert len(layers(spec, "line")) == 1  # the front
    bars = [
        points for layer, points in layers(spec, "rule") if "y2" in layer["encoding"] and "x2" not in layer["encoding"]
    ]
    assert [[each["model"] for each in points] for points in bars] == [["fru", "gru", "none"]]
    low, high = layers(spec, "point")[0][0]["encoding"]["x"]["scale"]["domain"]
    assert 9_800 < low < 9_900 < high < 10_000  # equal values still have an axis


def test_axes_begin_at_tens_below_the_scores_and_at_the_tiers() -> None:
    for layer in against()["layer"]:
        assert layer["encoding"]["y"]["scale"] == {"domain": [0, 100]}
    x = layers(against(), "point")[0][0]["encoding"]["x"]
    assert x["axis"]["values"] == [3_000, 10_000, 30_000]
    assert x["scale"]["type"] == "log"


@pytest.mark.parametrize(("low", "begin"), [(18.3, 10), (20.0, 10), (0.0, 0), (100.0, 90)])
def test_scores_are_drawn_up_to_100(low: float, begin: int) -> None:
    spec = against([replace(ROW, score=100.0, score_low=low, score_high=100.0)])
    scales = [layer["encoding"]["y"]["scale"] for layer in spec["layer"]]
    assert scales == [{"domain": [begin, 100]}] * len(scales)


def test_the_best_of_each_tier_leads_and_the_chosen_tier_is_large() -> None:
    ((_, points),) = layers(against(tier="10k"), "point")
    assert {each["model"] for each in points if each["leads"]} == {"fru", "gru"}
    assert {each["tier"] for each in points if each["large"]} == {"10k"}
    unranked = [replace(row, rank_low=None) if row.model == "fru" else row for row in TIERED]
    ((_, points),) = layers(against(unranked), "point")
    assert {each["model"] for each in points if each["leads"]} == {"gru"}
    assert all(each["large"] for each in points)


def test_every_line_ends_in_its_name_and_no_two_names_overlap() -> None:
    many = [
        replace(ROW, model=f"m{index:02}", score=score) for index, score in enumerate([99.0] * 12 + [98.9, 98.8, 40.0])
    ]
    spec = against(many)
    ((_, names),) = layers(spec, "text")
    assert {each["entry"] for each in names} == {table.shown_name(row) for row in many}
    low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    pixels = (spec["height"] - AROUND) / (high - low)
    places = sorted(each["place"] for each in names)
    assert min(np.diff(places)) * pixels >= LINE - 1e-6
    assert low <= places[0] <= places[-1] <= high
    assert sorted(names, key=lambda each: each["place"])[0]["model"] == "m14"


def test_more_lines_than_names_have_room_keep_the_best() -> None:
    many = [replace(ROW, model="none", score=0.5)]
    many += [replace(ROW, model=f"m{index}", score=float(index)) for index in range(60)]
    spec = against(many)
    ((_, names),) = layers(spec, "text")
    scales = [layer["encoding"]["color"]["scale"] for layer in spec["layer"] if "scale" in layer["encoding"]["color"]]
    assert all(scale == scales[0] for scale in scales)  # also where a family has no name left
    assert {each["model"] for each in names} == {f"m{index}" for index in range(60 - MOST, 60)}


def test_names_are_as_near_to_their_lines_as_can_be() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.uniform(0, 50, 12).round(1).tolist()
    found = spread(wanted, 3.0, -50.0, 100.0)
    order = np.argsort(wanted, kind="stable")
    assert min(np.diff(np.array(found)[order])) >= 3.0 - 1e-9
    gaps = np.zeros((11, 12))  # an independent solver: least squares under x_{i+1} − x_i ≥ 3
    gaps[range(11), order[:-1]], gaps[range(11), order[1:]] = -1, 1
    solved = minimize(
        lambda x: ((x - wanted) ** 2).sum(), np.linspace(0, 60, 12)[np.argsort(order)],
        constraints={"type": "ineq", "fun": lambda x: gaps @ x - 3.0},
    )  # fmt: skip
    assert found == pytest.approx(solved.x.tolist(), abs=1e-3)
    assert spread([50.0], 3.0, 0.0, 100.0) == [50.0]
    assert spread([100.0, 100.0], 3.0, 0.0, 100.0) == [97.0, 100.0]


def test_wrappers_that_are_contests_of_their_own_have_a_front_each() -> None:
    rows = (replace(ROW, params=100.0, score=70.0, wrapper="residual"), replace(ROW, params=200.0, score=60.0))
    for apart, fronts in ((False, [{70}]), (True, [{60}, {70}])):
        found = layers(against(rows, apart=apart), "line")
        assert sorted(({each["score"] for each in points} for _, points in found), key=min) == fronts


def test_costs_have_a_front_and_years_do_not() -> None:
    rows = [replace(row, state_bytes=row.params / 10) for row in TIERED if row.budget == "10k"]
    assert len(layers(against(rows, STATE), "line")) == 1
    years = against(rows, YEAR)
    assert not layers(years, "line")
    assert {each["year"] for _, points in layers(years, "point") for each in points} == {2014, 2018}  # no floor
    assert charts.score_against(tuple(TIERED), STATE) is None


def test_the_legend_filters_every_layer_but_the_front() -> None:
    unfiltered = [layer for layer in against()["layer"] if layer.get("transform") != [{"filter": {"param": "family"}}]]
    assert [layer["mark"].get("interpolate") for layer in unfiltered] == ["step-after"]


def test_seeds_stand_where_a_mean_stands() -> None:
    spec = charts.intervals((ROW, replace(ROW, model="gru")), table.shown_name, ((74.0, 76.0), (75.0,)))
    assert spec is not None
    ((_, seeds),) = layers(spec, "tick")
    found = [(each["entry"], each["seed"]) for each in seeds]
    assert found == [("FRU tuned", 74.0), ("FRU tuned", 76.0), ("GRU tuned", 75.0)]


def test_a_tasks_chart_has_every_seed() -> None:
    runs = [one_run(f"{seed:016x}", seed=seed, metric_value=0.2 + seed / 10) for seed in range(3)]
    rows = leaderboard(runs)
    spec = score_against_params(rows, {run.run_id: score(run) for run in runs})
    ((_, dots),) = layers(spec, "circle")
    assert [(each["seed"], each["seed_score"]) for each in dots] == [(run.seed, score(run)) for run in runs]
    ((_, marks),) = layers(spec, "point")
    assert [each["score"] for each in marks] == [rows[0].score]
    altair.LayerChart.from_dict(spec)


@pytest.mark.parametrize("axis", [PARAMETERS, YEAR])
def test_charts_are_vega_lite_without_a_warning(axis: Axis) -> None:
    """Altair's schema refuses a misspelt property, which Vega-Lite would pass over."""
    for spec in (against(axis=axis, apart=True), charts.intervals(TIERED[:3], table.shown_name, ((1.0,),) * 3)):
        assert spec is not None
        altair.LayerChart.from_dict(spec)


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


def test_families_differ_in_colour_and_in_shape() -> None:
    marks = [family_mark(family) for family in (*FAMILIES, "unknown")]
    assert len({each.shape for each in marks}) == len(marks)
    assert len({each.colour for each in marks}) == len(FAMILIES)  # floors and strangers are grey
    for name, facts in model_facts().items():
        assert mark(name).colour == family_mark(facts.family).colour


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
        ([InTier("10k", "plain"), InTier("100k", "plain")], "quick-v1-all-tiers-plain-score-against-parameters"),
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
