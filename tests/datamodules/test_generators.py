"""What the generators draw has the properties that the definitions state."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch

from bench.catalog.registry import find_task
from datamodules import _pathfinder
from datamodules._generated import GeneratedTask, distinct, distinct_weighted
from datamodules._idx import IdxSet
from datamodules._pathfinder import TURN_SHARES, TURNS, Drawing, Sheet
from datamodules._spec import SPLITS
from datamodules.copy import Copy, belongs_to
from datamodules.fashion import Fashion
from datamodules.listops import SYMBOLS, ListOps, grow, kept, write, written_length
from datamodules.mix_sin import MixSin
from datamodules.mqar import MQAR
from datamodules.parity import Parity
from datamodules.path_x import PathX
from datamodules.pathfinder import Pathfinder
from datamodules.selective_copy import SelectiveCopy


def generated(name: str) -> GeneratedTask:
    task = find_task(name).build()
    assert isinstance(task, GeneratedTask)
    return task


def close(share: float, expected: float, count: int) -> bool:
    """Within four standard errors."""
    return abs(share - expected) < 4 * sqrt(expected * (1 - expected) / count)


def test_drawing_without_replacement_is_uniform() -> None:
    rows = distinct(np.random.default_rng(0), 20_000, 3, 5)
    assert (np.sort(rows, axis=1)[:, 1:] != np.sort(rows, axis=1)[:, :-1]).all()
    for column in rows.T:
        assert all(close(share, 1 / 5, 20_000) for share in np.bincount(column) / 20_000)


def test_drawing_by_weight_takes_one_after_the_other() -> None:
    """The chance of (i, j) is w_i / (1) · w_j / (1 − w_i)."""
    weights = np.array([0.5, 0.3, 0.2])
    rows = distinct_weighted(np.random.default_rng(0), 50_000, 2, weights)
    for i, j in ((0, 1), (1, 0), (2, 1)):
        share = np.mean((rows == (i, j)).all(axis=1))
        assert close(float(share), weights[i] * weights[j] / (1 - weights[i]), 50_000)


def test_adding_marks_one_number_in_each_half() -> None:
    task = generated("adding-400")
    x_BTD = task.decode(task.draw(500, task.rng("test"))).x
    marks_BT = x_BTD[..., 1]
    assert (marks_BT[:, :200].sum(1) == 1).all()
    assert (marks_BT[:, 200:].sum(1) == 1).all()
    assert 0 <= x_BTD[..., 0].min() <= x_BTD[..., 0].max() < 1
    assert set(marks_BT.unique().tolist()) == {0, 1}


def test_copy_has_the_published_layout() -> None:
    task = generated("copy-100")
    batch = task.decode(task.draw(50, task.rng("test")))
    assert batch.x.shape == batch.y.shape == (50, 120)
    assert (batch.x[:, 10:109] == 8).all()  # T − 1 blanks
    assert (batch.x[:, 109] == 9).all()
    assert (batch.x[:, 110:] == 8).all()
    assert (batch.y[:, :110] == 8).all()
    assert (batch.y[:, 110:] == batch.x[:, :10]).all()


def test_no_sequence_of_symbols_is_in_two_splits_of_copy_50() -> None:
    task = Copy("copy-50")
    drawn = {split: task.draw_split(split, 20_000, task.rng(split)).x.numpy() for split in SPLITS}
    for split, symbols_NS in drawn.items():
        owners = {each for each in SPLITS if belongs_to(each, symbols_NS).any()}
        assert owners == {split}
        counts = np.bincount(symbols_NS[:, 4], minlength=8)
        assert all(close(share, 1 / 8, 20_000) for share in counts / 20_000)
    every = np.random.default_rng(0).integers(8, size=(50_000, 10), dtype=np.uint8)
    assert [close(float(belongs_to(split, every).mean()), share, 50_000) for split, share in
            (("train", 14 / 16), ("validation", 1 / 16), ("test", 1 / 16))] == [True] * 3  # fmt: skip
    assert belongs_to("test", task.fresh_test("a secret").x.numpy()).all()


def test_a_secret_draw_is_no_public_one() -> None:
    """The secret may be a length: `fresh` draws from a length's own random numbers."""
    task = generated("adding-25")
    _, public = task.fresh(8, 25)
    assert not torch.equal(task.decode(task.fresh_test("25")).x[:8], public.x)


def test_subtract_marks_any_two_places() -> None:
    task = generated("subtract-100")
    marks_BT = task.decode(task.draw(5_000, task.rng("test"))).x[..., 1]
    assert (marks_BT.sum(1) == 2).all()
    assert (marks_BT.mean(0) - 0.02).abs().max() < 5 * sqrt(0.02 * 0.98 / 5_000)


def test_recall_asks_each_key_once_among_the_last_steps() -> None:
    task = generated("recall-32")
    batch = task.decode(task.draw(3_000, task.rng("test")))
    assert (batch.x[:, 1:16:2] == 16).all()
    keys, values = batch.x[:, 0:16:4], batch.x[:, 2:16:4]
    asked = batch.y != -100
    assert (asked.sum(1) == 4).all()
    assert (asked == (batch.x != 16) & (torch.arange(32) >= 16)).all()
    assert (batch.x[asked].view(-1, 4).sort().values == keys.sort().values).all()
    assert (batch.y[asked].view(-1, 4).sort().values == values.sort().values).all()
    assert all(close(float(share), 1 / 4, 3_000) for share in asked[:, 16:].float().mean(0))


def test_fashion_14_averages_squares_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(256, size=(7, 28, 28), dtype=np.uint8)
    monkeypatch.setattr(IdxSet, "read", lambda *_: (images, np.zeros(7, np.uint8)))
    x_NTD = Fashion("fashion-14").split("test").x
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(images).float(), 2)
    assert (x_NTD.view(7, 14, 14) - expected).abs().max() <= 0.5


def test_noise_is_added_to_what_is_read_only() -> None:
    noisy, clean = MixSin("mix-sin-noise"), MixSin()
    drawn, curves = noisy.draw(400, noisy.rng("test")), clean.draw(400, noisy.rng("test"))
    noise = drawn.x - curves.x
    assert float(noise.std()) == pytest.approx(0.05, rel=0.02)
    assert torch.equal(drawn.y, curves.x[:, noisy.targets(), 0])


def test_selective_copy_scatters_evenly() -> None:
    x_NT = SelectiveCopy().draw(5_000, np.random.default_rng(0)).x.numpy()
    assert ((x_NT < 8).sum(1) == 10).all()
    assert (x_NT[:, -10:] == 9).all()
    shares = (x_NT[:, :200] < 8).mean(0)
    assert np.abs(shares - 0.05).max() < 5 * sqrt(0.05 * 0.95 / 5_000)


def test_temporal_order_puts_the_symbols_where_the_paper_does() -> None:
    x_NT = generated("temporal-order-100").draw(3_000, np.random.default_rng(0)).x.numpy()
    first, second = np.argwhere((x_NT == 4) | (x_NT == 5))[:, 1].reshape(-1, 2).T
    assert (first.min(), first.max(), second.min(), second.max()) == (10, 20, 50, 60)
    assert (x_NT[:, 0] == 6).all()
    assert (x_NT[:, -1] == 7).all()


def test_parity_is_asked_at_greater_lengths_too() -> None:
    task = Parity()
    lengths = {split: task.draw_split(split, 3, task.rng(split)).x.shape[1] for split in task.split_names}
    assert lengths == {"train": 40, "validation": 40, "test": 40, "test-2x": 80, "test-4x": 160}


def test_mqar_is_the_published_construction() -> None:
    """Keys and values from disjoint halves; each key asked once, at even distances that are mostly short."""
    task = MQAR("mqar-128-8")
    batch = task.decode(task.draw(2_000, task.rng("test")))
    keys, values = batch.x[:, 0:16:2], batch.x[:, 1:16:2]
    assert 1 <= keys.min() <= keys.max() < 4_096
    assert 4_096 <= values.min() <= values.max() < 8_192
    asked = batch.y != -100
    assert (asked.sum(1) == 8).all()
    assert not asked[:, :16].any()
    places = asked.nonzero()[:, 1].view(-1, 8)
    assert (places % 2 == 0).all()
    assert (batch.x.gather(1, places).sort(1).values == keys.sort(1).values).all()
    weights = np.arange(1, 57) ** -0.99
    first_slot = float((places == 16).any(1).float().mean())
    assert first_slot > 8 * weights[0] / weights.sum() / 2  # eight draws without replacement
    assert (places < 16 + 56).float().mean() > 0.7  # half the slots, by far more than half the queries


def test_listops_follows_the_grammar() -> None:
    levels, _ = grow(20_000, 10, 2_000, np.random.default_rng(0))
    roots = levels[0]
    assert close(float(np.mean(roots.arguments > 0)), 0.25, 20_000)
    arguments = roots.arguments[roots.arguments > 0]
    assert (arguments.min(), arguments.max()) == (2, 10)
    assert close(float(np.mean(arguments == 7)), 1 / 9, len(arguments))
    assert len(levels) == 10
    assert (levels[-1].arguments == 0).all()


def test_listops_2_has_no_expression_that_was_cut() -> None:
    """A cut expression is shorter as written than before the cut."""
    levels, length = grow(50_000, 10, 2_000, np.random.default_rng(0))
    shorter = written_length(levels)
    cut = shorter < length
    assert (length[cut] >= 2_000).all()
    assert 0 < ((shorter > 500) & (shorter < 2_000) & cut).sum() < 100  # what `listops` keeps of them
    texts = {name: task_texts(name) for name in ("listops", "listops-2")}
    assert texts["listops-2"] < texts["listops"]


def task_texts(name: str) -> set[bytes]:
    """What a task keeps of the same 50,000 expressions."""
    task = generated(name)
    assert isinstance(task, ListOps)
    levels, length = grow(task.roots, 10, 2_000, np.random.default_rng(0))
    size = written_length(levels) if task.with_cut else length
    tokens, _, _ = write(kept(levels, (size > 500) & (size < 2_000)), 2_000)
    return {row.tobytes() for row in tokens}


def test_listops_keeps_expressions_of_500_to_2000_tokens() -> None:
    task = generated("listops")
    batch = task.draw(500, task.rng("test"))
    assert batch.lengths is not None
    assert 500 < batch.lengths.min() <= batch.lengths.max() < 2_000
    depths = []
    for row, length in zip(batch.x.numpy(), batch.lengths, strict=True):
        words = [SYMBOLS[token] for token in row]
        assert all(words[:length])
        assert not any(words[length:])
        depth = np.cumsum([word.startswith("[") - (word == "]") for word in words])
        assert depth[length - 1] == 0
        depths.append(depth.max())
    assert max(depths) == 9  # operators stand at depths 1 to 9, digits at 10


@pytest.fixture(scope="module")
def sheet() -> tuple[Sheet, np.ndarray]:
    sheet = Sheet(Pathfinder.drawing, np.random.default_rng(0))
    rows = sheet.draw_long_curves()
    sheet.draw_short_curves(rows)
    return sheet, rows


def test_pathfinder_curves_are_joined_and_keep_apart(sheet: tuple[Sheet, np.ndarray]) -> None:
    drawing, (drawn, rows) = Pathfinder.drawing, sheet
    assert len(rows) > 100
    dashes = drawn.dashes_NS22[rows[:50]]
    assert np.nanmin(dashes) >= drawing.padding
    assert np.nanmax(dashes) <= drawing.window_size - drawing.padding
    lengths = np.linalg.norm(dashes[:, :, 1] - dashes[:, :, 0], axis=-1)
    assert lengths[~np.isnan(lengths)] == pytest.approx(drawing.paddle_length)
    for curve in (dashes[:, :14], dashes[:, 14:28]):
        gaps = np.linalg.norm(curve[:, 1:, 0] - curve[:, :-1, 1], axis=-1)
        assert gaps.max() <= 2 * drawing.paddle_margins[0] + 1e-9
    middles = dashes.mean(2)
    apart = np.linalg.norm(middles[:, :14, None] - middles[:, None, 14:28], axis=-1)
    assert apart.min() > 2 * drawing.paddle_margins[0] - 1  # the grid has half pixels


def test_pathfinder_2_has_as_many_distractors_as_the_authors_program() -> None:
    """1.28 to 1.35 on a few dozen of its images; margins of path-x 50:50 and eight distractors."""
    drawing = Pathfinder("pathfinder-2").drawing
    drawn = Sheet(drawing, np.random.default_rng(0))
    rows = drawn.draw_long_curves()
    drawn.draw_short_curves(rows)
    there = ~np.isnan(drawn.dashes_NS22[rows, 28 :: drawing.distractor_length, 0, 0])
    assert there.sum(1).mean() == pytest.approx(1.3, abs=0.1)


@pytest.mark.slow
def test_path_x_2_has_even_margins_and_all_distractors(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[float, int] = {}
    distractors: list[int] = []

    def counted(sheet: Sheet, rows: np.ndarray) -> None:
        draw_short_curves(sheet, rows)
        there = ~np.isnan(sheet.dashes_NS22[rows, 28 :: sheet.drawing.distractor_length, 0, 0])
        distractors.extend(there.sum(1))

    draw_short_curves = Sheet.draw_short_curves
    monkeypatch.setattr(Sheet, "draw_short_curves", counted)
    drawing = replace(PathX("path-x-2").drawing, begun=60)
    real = _pathfinder.draw_images

    def of_margin(drawing: Drawing, count: int, rng: np.random.Generator) -> tuple:
        if not drawing.even_margins:
            kept[drawing.paddle_margins[0]] = count
        return real(drawing, count, rng)

    monkeypatch.setattr(_pathfinder, "draw_images", of_margin)
    images, labels = _pathfinder.draw_images(drawing, 100, np.random.default_rng(0))
    assert (images.shape, labels.shape) == ((100, 128, 128), (100,))
    assert sum(kept.values()) == 100
    assert 30 < kept[2] < 70
    assert np.mean(distractors) > 7.9


def test_pathfinder_dots_are_on_one_curve_or_on_two(sheet: tuple[Sheet, np.ndarray]) -> None:
    drawn, rows = sheet
    labels = np.arange(len(rows), dtype=np.uint8) % 2
    starts, ends = drawn.dashes_NS22[rows][:, [0, 14], 0], drawn.dashes_NS22[rows][:, [13, 27], 1]
    dots = drawn.dots(rows, labels)
    start_of = (dots[:, :1] == starts).all(-1)
    end_of = (dots[:, 1:] == ends).all(-1)
    assert (start_of.sum(1) == 1).all()
    assert (end_of.sum(1) == 1).all()
    assert ((start_of.argmax(1) == end_of.argmax(1)) == (labels == 1)).all()


def test_pathfinder_turns_have_the_published_density() -> None:
    """∝ cos² on (−π/2, π/2): the middle half of the range has 1/2 + 1/π of the weight."""
    inner = np.interp([-np.pi / 4, np.pi / 4], TURNS, TURN_SHARES)
    assert inner[1] - inner[0] == pytest.approx(0.5 + 1 / np.pi)


def test_pathfinder_images_have_bright_dots_and_darker_dashes() -> None:
    task = Pathfinder()
    images = task.draw(100, np.random.default_rng(0)).x.view(-1, 32, 32).numpy()
    assert (images.max((1, 2)) == 255).all()
    dashes = images[(images > 0) & (images < 255)]
    assert np.median(dashes) < 0.75 * 255
