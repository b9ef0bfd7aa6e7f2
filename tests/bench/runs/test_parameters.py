"""Parameter counts: the paper's, the tiers', and what hides nothing."""

from dataclasses import replace
from typing import Unpack

import pytest
import torch
from torch import nn

from bench.catalog.registry import find_model, find_task, model_names
from bench.catalog.tiers import TIERS
from bench.common.errors import RequestError
from bench.runs.network import build, count, count_on_meta, state_bytes
from bench.runs.parameter_budget import fit
from bench.runs.settings import Settings
from datamodules._spec import TaskSpec, TokenPerStep, Tokens
from models.shared.contract import Place, SequenceModel
from models.shared.wrappers import WRAPPERS, Plain, Residual, Wrapper

DIGITS = find_task("digits").build().spec
PIXELS = replace(DIGITS, seq_len=784)
TOKENS = replace(DIGITS, input=Tokens(12), output=TokenPerStep(12))


@pytest.mark.parametrize(
    ("model", "settings", "total"),
    [
        ("fru", {"num_freqs": 40, "stat_size": 10}, 106_930),
        ("fru", {"num_freqs": 60, "stat_size": 10}, 158_950),
        ("sru", {}, 274_670),
        ("rnn", {}, 42_610),  # the paper's 42,410 and a second bias of 200
        ("lstm", {}, 164_410),  # the paper's 163,610 and a second bias of 800
    ],
)
def test_the_papers_networks(model: str, settings: dict[str, int], total: int) -> None:
    cls = find_model(model).cls
    chosen = Settings.defaults(cls, Plain).updated(settings)
    assert count_on_meta(cls, Plain, chosen, PIXELS).total == total
    network = build(cls, Plain, chosen, PIXELS)
    assert sum(p.numel() for p in network.parameters()) == total


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("model", model_names())
def test_fits_just_under_the_tier(model: str, tier: str) -> None:
    cls = find_model(model).cls
    settings = fit(cls, WRAPPERS[cls.wrapper], DIGITS, tier, {})
    size = count_on_meta(cls, WRAPPERS[cls.wrapper], settings, DIGITS).budgeted
    least = 0.8 if tier == "3k" else 0.9  # a step of the width is a large part of 3,000 numbers
    assert least * TIERS[tier] <= size <= TIERS[tier]


def test_fits_as_near_as_its_widths_allow_where_a_size_falls() -> None:
    """At the width of the token table a plain LRU needs no projection on either side of it, and has fewer numbers."""
    cls, task = find_model("lru").cls, find_task("mqar-256-16").build().spec
    table = {"embed_size": 128}
    sizes = {
        width: count_on_meta(cls, Plain, Settings.at_width(cls, Plain, width).updated(table), task).budgeted
        for width in range(1, 160)
    }
    assert sizes[128] < sizes[110]
    best = max(size for size in sizes.values() if size <= TIERS["100k"])
    assert count_on_meta(cls, Plain, fit(cls, Plain, task, "100k", table), task).budgeted == best


@pytest.mark.parametrize(("tier", "width"), [("3k", 8), ("10k", 8), ("30k", 16), ("100k", 64), ("1M", 128)])
@pytest.mark.parametrize("wrapper", [Plain, Residual])
def test_token_tables_are_equal_for_all_models_at_a_tier(tier: str, width: int, wrapper: type[Wrapper]) -> None:
    """They cost nothing, so their width must not depend on the model."""
    recall, mqar = (find_task(name).build().spec for name in ("recall-32", "mqar-64-4"))
    for model in ("gru", "s4d"):
        cls = find_model(model).cls
        assert fit(cls, wrapper, mqar, tier, {}).flat()["embed_size"] == width
        assert fit(cls, wrapper, recall, tier, {}).flat()["embed_size"] == min(width, 17)


def test_a_tied_readout_of_many_tokens_has_no_bias() -> None:
    """At 10k, 8,192 biases left 1,808 numbers for the network."""
    cls = find_model("gru").cls
    for task, biases in (("mqar-64-4", 0), ("copy-100", 10)):
        spec = find_task(task).build().spec
        network = build(cls, Residual, fit(cls, Residual, spec, "10k", {}), spec)
        assert sum(p.numel() for name, p in network.readout.named_parameters() if name == "bias") == biases


def test_sizes_that_no_author_proposes_are_refused() -> None:
    """Unless somebody asks for them."""
    cls, spec = find_model("fru").cls, replace(DIGITS, output=replace(DIGITS.output, classes=900))
    with pytest.raises(
        RequestError, match="GRU does not fit digits in 10k: hidden_size would be 3, and sensible layers"
    ):
        fit(find_model("gru").cls, Plain, replace(DIGITS, output=replace(DIGITS.output, classes=2_400)), "10k", {})
    assert fit(cls, Plain, spec, "10k", {"stat_size": 1}).flat()["stat_size"] == 1


@pytest.mark.parametrize("wrapper", WRAPPERS.values())
@pytest.mark.parametrize("model", ["fru", "sru", "rnn", "lstm", "gru"])
def test_no_other_width_comes_much_nearer(model: str, wrapper: type[Wrapper]) -> None:
    cls = find_model(model).cls
    every = [Settings.at_width(cls, wrapper, width) for width in range(1, 130)]
    sizes = [count_on_meta(cls, wrapper, settings, DIGITS).budgeted for settings in every]
    fitted = count_on_meta(cls, wrapper, fit(cls, wrapper, DIGITS, "10k", {}), DIGITS).budgeted
    assert fitted >= 0.97 * max(size for size in sizes if size <= TIERS["10k"])


def test_fru_keeps_the_papers_proportions() -> None:
    config = find_model("fru").cls.Config.at_width(200)
    assert (config.output_size, config.recur_size, config.stat_size) == (200, 60, 10)


def test_a_pair_that_cannot_fit_says_so() -> None:
    wide = replace(DIGITS, output=replace(DIGITS.output, classes=100_000))
    with pytest.raises(RequestError, match="GRU does not fit digits in 10k: its smallest width has"):
        fit(find_model("gru").cls, Plain, wide, "10k", {})


def test_a_model_whose_size_ignores_its_width_is_reported() -> None:
    with pytest.raises(RequestError, match="does not grow with its width"):
        fit(find_model("gru").cls, Plain, DIGITS, "10k", {"hidden_size": 3})


@pytest.mark.parametrize("wrapper", [Plain, Residual])
def test_a_tied_readout_counts_once(wrapper: type[Plain | Residual]) -> None:
    cls = find_model("gru").cls
    network = build(cls, wrapper, Settings.at_width(cls, wrapper, 16), TOKENS)
    counts = count(network)
    assert counts.total == sum(p.numel() for p in network.parameters())
    assert counts.embedding == network.embedding.weight.numel()
    assert counts.budgeted == counts.core + counts.readout


class WithBuffer(SequenceModel):
    """Hides five numbers in a buffer that checkpoints keep."""

    Config = find_model("gru").cls.Config

    def __init__(self, config: object, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = 3
        self.linear = nn.Linear(self.input_size, 3)
        self.register_buffer("kept", torch.zeros(5))
        self.register_buffer("derived", torch.zeros(7), persistent=False)


def test_numbers_kept_in_buffers_count() -> None:
    counts = count(build(WithBuffer, Plain, Settings.defaults(WithBuffer, Plain), DIGITS))
    assert counts.buffers == 5
    assert counts.total == 6 + 40 + 5


@pytest.mark.parametrize(("model", "numbers"), [("gru", 200), ("lstm", 400), ("fru", 400), ("sru", 1000)])
def test_state_bytes(model: str, numbers: int) -> None:
    cls = find_model(model).cls
    network = build(cls, Plain, Settings.defaults(cls, Plain), DIGITS)
    assert state_bytes(network) == 4 * numbers


def test_every_registered_model_counts_without_allocating() -> None:
    for name in model_names():
        cls = find_model(name).cls
        for wrapper in WRAPPERS.values():
            assert count_on_meta(cls, wrapper, Settings.defaults(cls, wrapper), DIGITS).total > 0


def test_spec_refuses_conflicts() -> None:
    with pytest.raises(ValueError, match="metric 'mse' does not fit"):
        replace(DIGITS, metric="mse")
    with pytest.raises(ValueError, match="is not better than chance"):
        replace(DIGITS, chance=1.0, solved=0.5)
    assert isinstance(DIGITS, TaskSpec)
