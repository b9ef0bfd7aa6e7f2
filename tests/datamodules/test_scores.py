"""The trivial and the perfect predictor of each task, scored by the harness's own module against the specification."""

from collections.abc import Callable
from itertools import pairwise, permutations
from math import log, sqrt

import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from scipy.integrate import solve_ivp
from torch import Tensor, nn
from torch.nn import functional as F

from bench.catalog.registry import find_task
from datamodules import _idx, listops
from datamodules._base import Samples, SequenceDataModule
from datamodules._generated import GeneratedTask
from datamodules._mixtures import regress_on_seven
from datamodules._spec import IGNORED, Label, TaskSpec, TokenPerStep, Value, ValuePerStep
from datamodules.mix_sin import MixSin
from models.shared.lightning_module import SequenceModule, scored
from models.shared.training import Training

SLICE = 20  # samples scored at a time: the logits of 8,192 tokens are large

Predict = Callable[[Tensor, Tensor | None], Tensor]


class Predictor(nn.Module):
    """A network that answers as a function of the input says, sure of itself."""

    def __init__(self, predict: Predict, spec: TaskSpec) -> None:
        super().__init__()
        self.predict, self.spec = predict, spec

    def forward(self, x: Tensor, lengths_B: Tensor | None) -> Tensor:
        answer = self.predict(x, lengths_B)
        match self.spec.output:
            case Label(classes) | TokenPerStep(classes):
                return torch.zeros(*answer.shape, classes).scatter_(-1, answer.unsqueeze(-1), 100.0)
            case Value() | ValuePerStep():
                return answer


def slow(value: str) -> ParameterSet:
    return pytest.param(value, marks=pytest.mark.slow)


def drawn(task: SequenceDataModule, count: int) -> Samples:
    assert isinstance(task, GeneratedTask)
    return task.decode(task.draw_split("test", count, task.rng("scores")))


def score(task: SequenceDataModule, batch: Samples, predict: Predict) -> tuple[float, float]:
    """The metric and its standard error."""
    module = SequenceModule(Predictor(predict, task.spec), task.spec, Training())  # type: ignore[arg-type]
    for index in torch.arange(len(batch.y)).split(SLICE):
        module.evaluate(batch.gather(index))
    value = float(module.metric.compute())
    if task.spec.metric == "mse":
        errors_B = ((predict(batch.x, batch.lengths) - batch.y) ** 2).flatten(1).nanmean(1)
        return value, float(errors_B.std()) / sqrt(len(errors_B))
    count = int((scored(task.spec, batch.y) != IGNORED).sum())
    return value, sqrt(task.spec.chance * (1 - task.spec.chance) / count)


def constant(answer: int) -> Predict:
    return lambda x, lengths: torch.full((len(x),), answer)


def always(answer: int) -> Predict:
    return lambda x, lengths: torch.full_like(x, answer)


def guess_symbols(x: Tensor, lengths: Tensor | None) -> Tensor:
    return torch.randint(8, x.shape, generator=torch.Generator().manual_seed(0))


def first_value(x: Tensor, lengths: Tensor | None) -> Tensor:
    return x[:, 1:2].expand_as(x)


def commonest_symbol(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    counts_BV = F.one_hot(x_BT, 10)[..., :8].sum(1)
    return counts_BV.argmax(1, keepdim=True).expand_as(x_BT)


def commonest_token(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    return F.one_hot(x_BT.masked_fill(~inside(x_BT, lengths), 15), 16)[..., :15].sum(1).argmax(1)


def inside(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    assert lengths is not None
    return torch.arange(x_BT.shape[1]) < lengths[:, None]


def of_right_sign(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """An element of S5 that is odd where the product is: the identity, or the exchange of the last two things."""
    odd = torch.tensor([sum(a > b for i, a in enumerate(p) for b in p[i:]) % 2 for p in permutations(range(5))])
    return odd[x_BT].cumsum(1) % 2


def right_sign(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """An element of S3 that is odd where the product is. In lexicographic order 021, 102 and 210 are odd."""
    odd_BT = ((x_BT == 1) | (x_BT == 2) | (x_BT == 5)).cumsum(1) % 2
    return torch.where(odd_BT == 1, 2, 3)


def curve_from(steps: slice) -> Predict:
    """The mean of the clean curve, given some of the noisy values: what least squares tends to with many samples."""
    task = MixSin("mix-sin-noise")
    basis_6T = torch.from_numpy(task._basis())
    seen_6S = basis_6T[:, steps]
    precision_66 = seen_6S @ seen_6S.T / 0.05**2 + torch.eye(6, dtype=torch.float64) / 0.1**2
    weights_SV = seen_6S.T @ torch.linalg.solve(precision_66, basis_6T[:, task.targets()]) / 0.05**2
    return lambda x, lengths: (x[:, steps, 0].double() @ weights_SV).float()


def root_operator(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """The commonest value of each operator: MIN 0, MAX 9, MED 4, SM any; tokens 11 to 14."""
    return torch.tensor([0, 9, 4, 0])[x_BT[:, 0] - 11]


def mean_curve(x: Tensor, lengths: Tensor | None) -> Tensor:
    return torch.zeros(len(x), x.shape[1] - 1)


TRIVIAL: dict[str, Predict] = {
    "adding-200": lambda x, lengths: torch.ones(len(x), 1),
    "adding-2000": lambda x, lengths: torch.ones(len(x), 1),
    "copy-10": guess_symbols,
    "copy-50": commonest_symbol,
    "copy-100": guess_symbols,
    "selective-copy-64": commonest_symbol,
    "selective-copy-200": guess_symbols,
    "s3-64": right_sign,
    "a5": always(0),
    "a5-walk": always(0),
    "induction-gaps": always(3),
    "s5": of_right_sign,
    "z60": always(0),
    "parity-var": always(1),
    "cycle-nav": always(3),
    "mod-arith": always(2),
    "mod-arith-brackets": always(0),
    "induction": commonest_token,
    "delay-32": lambda x, lengths: torch.zeros_like(x),
    "subtract-100": lambda x, lengths: torch.zeros(len(x), 1),
    "recall-32": lambda x, lengths: x[:, 2:3].expand_as(x),
    "mix-sin-noise": curve_from(slice(0, 16)),
    "temporal-order-100": constant(2),
    "temporal-order-500": constant(1),
    "parity-40": constant(0),
    "parity-200": constant(1),
    "mqar-64-4": first_value,
    "mqar-128-8": first_value,
    "mqar-256-16": first_value,
    "mix-sin": mean_curve,
    "mix-poly-5": mean_curve,
    "mix-poly-10": mean_curve,
    "mix-poly-15": mean_curve,
    "listops": constant(0),
    "listops-2": root_operator,
    "pathfinder": constant(1),
    "path-x": constant(0),
}
COUNTS = {
    "adding-2000": 2_000, "listops": 10_000, "listops-2": 4_000, "mqar-64-4": 400, "mqar-128-8": 200,
    "mqar-256-16": 100, "path-x": 200, "pathfinder": 500,
}  # fmt: skip


@pytest.mark.parametrize("name", [slow(name) if name == "path-x" else name for name in TRIVIAL])
def test_the_trivial_predictor_scores_what_the_specification_says(name: str) -> None:
    task = find_task(name).build()
    value, error = score(task, drawn(task, COUNTS.get(name, 4_000)), TRIVIAL[name])
    assert abs(value - task.spec.chance) < 4 * error


def test_the_last_values_of_a_noisy_curve_are_no_better_than_the_first() -> None:
    task = find_task("mix-sin-noise").build()
    value, error = score(task, drawn(task, 4_000), curve_from(slice(-16, None)))
    assert abs(value - 0.060) < 4 * error


@pytest.mark.skipif(not _idx.DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_trivial_predictor_of_fashion() -> None:
    task = find_task("fashion").build()
    assert score(task, task.split("test"), constant(3))[0] == pytest.approx(task.spec.chance)


def test_the_trivial_predictor_of_digits() -> None:
    task = find_task("digits").build()
    value, error = score(task, task.split("test"), constant(3))
    assert abs(value - task.spec.chance) < 4 * error


def marked_sum(x_BTD: Tensor, lengths: Tensor | None) -> Tensor:
    return (x_BTD[..., 0] * x_BTD[..., 1]).sum(1, keepdim=True)


def marked_difference(x_BTD: Tensor, lengths: Tensor | None) -> Tensor:
    first, second = x_BTD[..., 0][x_BTD[..., 1] == 1].view(-1, 2).T
    return (first - second)[:, None]


def products_of(orders: list[str], tokens: list[str] | None = None) -> Predict:
    """The running products of permutations, numbered as in `orders`. Tokens are these, unless given."""
    factors = tokens or orders

    def products(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
        y_BT = torch.empty_like(x_BT)
        for row, row_tokens in enumerate(x_BT.tolist()):
            product = orders[0]
            for step, token in enumerate(row_tokens):
                product = "".join(product[int(place)] for place in factors[token])
                y_BT[row, step] = orders.index(product)
        return y_BT

    return products


def orders(size: int, *, even: bool = False) -> list[str]:
    """Permutations in lexicographic order. An even one has determinant 1."""
    every = ["".join(map(str, each)) for each in permutations(range(size))]
    return [each for each in every if not even or np.linalg.det(np.eye(size)[list(map(int, each))]) > 0]


def steps_on_a_circle(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    return ((x_BT == 1).long() - (x_BT == 2).long()).cumsum(1) % 5


def calculated(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """Python's own value of what ends at each digit or bracket; without brackets, that is all so far."""
    y_BT = torch.zeros_like(x_BT)
    for row, tokens in enumerate(x_BT.tolist()):
        text, opened = "".join("01234+-*()"[token] for token in tokens), list[int]()
        for place, symbol in enumerate(text):
            if symbol == "(":
                opened.append(place)
            elif symbol == ")" or ("(" not in text and symbol.isdigit()):
                y_BT[row, place] = eval(text[opened.pop() if opened else 0 : place + 1]) % 5
    return y_BT


def latest(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """At each token that asks (16), the latest value of the key before it."""
    y_BT = torch.zeros_like(x_BT)
    for row, tokens in enumerate(x_BT.tolist()):
        values: dict[int, int] = {}
        for step in range(0, len(tokens) - 1, 2):
            if tokens[step + 1] == 16:
                y_BT[row, step + 1] = values[tokens[step]]
            else:
                assert values.get(tokens[step]) != tokens[step + 1], "an update brings another value"
                values[tokens[step]] = tokens[step + 1]
    return y_BT


def after_the_last_special(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """At each special token (15), the token that followed the one before."""
    y_BT = torch.zeros_like(x_BT)
    for row, tokens in enumerate(x_BT.tolist()):
        places = [place for place, token in enumerate(tokens) if token == 15]
        for before, place in pairwise(places):
            y_BT[row, place] = tokens[before + 1]
    return y_BT


def known_value(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """At each key (0 to 7) that came before, the token that followed it then."""
    y_BT = torch.zeros_like(x_BT)
    for row, tokens in enumerate(x_BT.tolist()):
        for step, token in enumerate(tokens):
            if token < 8 and token in tokens[:step]:
                y_BT[row, step] = tokens[tokens.index(token) + 1]
    return y_BT


def integrated(x_BT1: Tensor, lengths: Tensor | None) -> Tensor:
    """FitzHugh–Nagumo from the first value alone, by another solver."""

    def slope(t: float, state: np.ndarray) -> list[float]:
        v, w = state
        return [v - v**3 / 3 - w + 0.5, 0.02 * (v + 0.7 - 0.8 * w)]

    times = np.linspace(0, 400, 1_000)
    curves = [solve_ivp(slope, (0, 400), [start, 0], t_eval=times, rtol=1e-8).y[0] for start in x_BT1[:, 0, 0].tolist()]
    return torch.from_numpy(np.stack(curves)[:, 1:, None]).float()


def after_the_special(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    return torch.tensor([tokens[tokens.index(15) + 1] for tokens in x_BT.tolist()])


def looked_up(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """The value two steps after each key's first place; keys are tokens 0 to 7."""
    y_BT = torch.zeros_like(x_BT)
    for row, tokens in enumerate(x_BT.tolist()):
        for step, token in enumerate(tokens):
            if token < 8 and step >= len(tokens) // 2:
                y_BT[row, step] = tokens[tokens.index(token) + 2]
    return y_BT


def symbols_last(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """Blanks, then the symbols (tokens under 8) in their order."""
    count = int((x_BT[0] < 8).sum())
    y_BT = torch.full_like(x_BT, 8)
    y_BT[:, -count:] = x_BT[x_BT < 8].view(-1, count)
    return y_BT


def order_of_two(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    first, second = (x_BT[(x_BT == 4) | (x_BT == 5)].view(-1, 2) - 4).T
    return 2 * first + second


def paired_value(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """At each token that was a key among the pairs, its value. Pairs end before the first key that comes again."""
    y_BT = torch.zeros_like(x_BT)
    for row, tokens in enumerate(x_BT.tolist()):
        values: dict[int, int] = {}
        for place, token in enumerate(tokens):
            if token in values:
                y_BT[row, place] = values[token]
            elif place % 2 == 0 and token < 4_096:
                values[token] = tokens[place + 1] if place + 1 < len(tokens) else 0
    return y_BT


def evaluated(x_BT: Tensor, lengths: Tensor | None) -> Tensor:
    assert lengths is not None
    texts = (
        " ".join(listops.SYMBOLS[token] for token in row[:n]) for row, n in zip(x_BT.tolist(), lengths, strict=True)
    )
    return torch.tensor([evaluate_text(text) for text in texts])


def evaluate_text(text: str) -> int:
    """ListOps, read left to right with a stack: slow and obvious."""
    rules: dict[str, Callable[[list[int]], int]] = {
        "[MIN": min, "[MAX": max, "[MED": lambda values: int(np.median(values)), "[SM": lambda values: sum(values) % 10,
    }  # fmt: skip
    stack: list[list] = [[]]
    for word in text.split():
        if word in rules:
            stack.append([rules[word]])
        elif word == "]":
            rule, *values = stack.pop()
            stack[-1].append(rule(values))
        else:
            stack[-1].append(int(word))
    ((value,),) = stack
    return value


PERFECT: dict[str, Predict] = {
    "adding-25": marked_sum,
    "adding-200": marked_sum,
    "adding-5000": marked_sum,
    "copy-10": symbols_last,
    "copy-50": symbols_last,
    "copy-100": symbols_last,
    "copy-2000": symbols_last,
    "subtract-100": marked_difference,
    "s3-64": products_of(["012", "021", "102", "120", "201", "210"]),
    "a5": products_of(orders(5, even=True)),
    "a5-walk": products_of(orders(5, even=True), ["12034", "20134", "12340", "40123"]),
    "s5": products_of(orders(5)),
    "z60": lambda x, lengths: x.cumsum(1) % 60,
    "parity-var": lambda x, lengths: x.cumsum(1) % 2,
    "cycle-nav": steps_on_a_circle,
    "mod-arith": calculated,
    "mod-arith-brackets": calculated,
    "recall-update": latest,
    "noisy-recall": known_value,
    "induction": after_the_special,
    "induction-gaps": after_the_last_special,
    "fitzhugh-nagumo": integrated,
    "delay-32": lambda x, lengths: F.pad(x, (0, 0, 32, 0))[:, :-32],
    "recall-32": looked_up,
    "mix-sin-noise": curve_from(slice(0, 176)),
    "selective-copy-64": symbols_last,
    "selective-copy-200": symbols_last,
    "selective-copy-1000": symbols_last,
    "temporal-order-100": order_of_two,
    "temporal-order-500": order_of_two,
    "parity-40": lambda x, lengths: x.sum(1) % 2,
    "parity-200": lambda x, lengths: x.sum(1) % 2,
    "mqar-64-4": paired_value,
    "mqar-256-16": paired_value,
    "listops": evaluated,
    "listops-2": evaluated,
}


@pytest.mark.parametrize("name", PERFECT)
def test_the_perfect_predictor_solves_the_task(name: str) -> None:
    task = find_task(name).build()
    value, _ = score(task, drawn(task, 60), PERFECT[name])
    assert value >= task.spec.solved if task.spec.higher_is_better else value <= task.spec.solved


@pytest.mark.parametrize("name", ["mix-sin", "mix-poly-5", "mix-poly-10", "mix-poly-15"])
def test_linear_regression_on_seven_values_solves_the_mixtures(name: str) -> None:
    task = find_task(name).build()
    x_NT = drawn(task, 400).x[:, :, 0].double().numpy()
    assert regress_on_seven(x_NT[:200], x_NT[200:]) < 1e-9
    assert np.linalg.matrix_rank(x_NT, tol=1e-4) == 6


def test_a_copier_without_memory_has_the_published_cross_entropy() -> None:
    """It knows when symbols are to be said: ten times ln 8 over T + 20 positions (Arjovsky et al. 2016)."""
    task = find_task("copy-100").build()
    batch = drawn(task, 50)
    logits_BTV = torch.full((*batch.x.shape, 10), -1e9)
    logits_BTV[:, :-10, 8] = 0
    logits_BTV[:, -10:, :8] = 0
    loss = F.cross_entropy(logits_BTV.flatten(0, 1), batch.y.flatten(), ignore_index=IGNORED)
    assert float(loss) == pytest.approx(10 * log(8) / 120)
