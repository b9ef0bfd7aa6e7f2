"""A step of the LSTM, the GRU and the simple RNN for a block of sequences, forward and backward.

The equations are those of models/lstm.py, gru.py and rnn.py. A row holds a number of each sequence of the block. A
unit's sums stay in registers until the gates' functions have acted on them.

Shapes: L lanes of a vector, innermost in every array but the weights; D input, H hidden, X = D + 1 and J = H + 1, for a
1 after x and h; G gates of a weight. K = G·H, one gate after the other, as in torch's weights; Q = H·G, where a unit's
gates lie side by side.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from models.kernels.cpu.toolkit.vector import ONE, OUTPUTS, WIDTH, ZERO, Code, narrow


class Unit(NamedTuple):
    """A unit's rows. An array's parts are H rows each."""

    code: Code
    number: Any
    H: Any

    def at(self, array: Any, part: int) -> Any:
        return self.code.at(array, (self.code.times(self.H, part), WIDTH), (self.number, WIDTH))

    def load(self, array: Any, part: int = 0) -> Any:
        return self.code.load(self.at(array, part))

    def store(self, array: Any, *values: Any) -> None:
        """Store a value in each of an array's first parts."""
        for part, value in enumerate(values):
            self.code.store(value, self.at(array, part))


class Cell(NamedTuple):
    """What the kernels must know of a cell.

    Args:
        forward: maps sums, `before`, `kept_before` to `now` and `kept`.
        backward: maps the gradient of h to `to_sums`, `to_h` and `to_c`, from what forward was given and wrote.
        gates: G.
        kept: how many numbers of a unit a step keeps, beside h.
        sums: how many sums a unit has. The GRU's candidate has two, one of x and one of h.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    gates: int
    kept: int
    sums: int

    @property
    def apart(self) -> bool:
        """Whether what the last gate gets from x and what it gets from h are sums of their own."""
        return self.sums > self.gates


def lstm(code: Code, unit: Unit, sums: list[Any], before: Any, kept_before: Any, now: Any, kept: Any) -> None:
    i, f, o = (code.sigmoid(sums[gate]) for gate in (0, 1, 3))
    g = code.tanh(sums[2])
    c = code.fma(f, unit.load(kept_before, 4), code.product_of(i, g))
    unit.store(kept, i, f, g, o, c)
    unit.store(now, code.product_of(o, code.tanh(c)))


def lstm_adjoint(
    code: Code, unit: Unit, from_h: Any, to_sums: Any, to_h: Any, to_c: Any, before: Any, kept_before: Any, now: Any,
    kept: Any,
) -> None:  # fmt: skip
    i, f, g, o, c = (unit.load(kept, part) for part in range(5))
    tanh_c = code.tanh(c)
    from_c = code.fma(code.product_of(from_h, o), code.slope(tanh_c), unit.load(to_c))
    unit.store(
        to_sums,
        code.product_of(code.product_of(from_c, g), code.sigmoid_slope(i)),
        code.product_of(code.product_of(from_c, unit.load(kept_before, 4)), code.sigmoid_slope(f)),
        code.product_of(code.product_of(from_c, i), code.slope(g)),
        code.product_of(code.product_of(from_h, tanh_c), code.sigmoid_slope(o)),
    )
    unit.store(to_c, code.product_of(from_c, f))
    unit.store(to_h, ZERO)


def gru(code: Code, unit: Unit, sums: list[Any], before: Any, kept_before: Any, now: Any, kept: Any) -> None:
    from_r, from_z, from_h, from_x = sums
    r, z = code.sigmoid(from_r), code.sigmoid(from_z)
    n = code.tanh(code.fma(r, from_h, from_x))
    unit.store(kept, r, z, n, from_h)
    unit.store(now, code.fma(z, code.difference(unit.load(before), n), n))


def gru_adjoint(
    code: Code, unit: Unit, from_h: Any, to_sums: Any, to_h: Any, to_c: Any, before: Any, kept_before: Any, now: Any,
    kept: Any,
) -> None:  # fmt: skip
    r, z, n, n_of_h = (unit.load(kept, part) for part in range(4))
    to_n = code.product_of(code.product_of(from_h, code.difference(ONE, z)), code.slope(n))
    step = code.difference(unit.load(before), n)
    # Those of W come first and those of U last: the candidate's sum of x, r's, z's, the candidate's sum of h.
    unit.store(
        to_sums,
        to_n,
        code.product_of(code.product_of(to_n, n_of_h), code.sigmoid_slope(r)),
        code.product_of(code.product_of(from_h, step), code.sigmoid_slope(z)),
        code.product_of(to_n, r),
    )
    unit.store(to_h, code.product_of(from_h, z))


def rnn_tanh(code: Code, unit: Unit, sums: list[Any], before: Any, kept_before: Any, now: Any, kept: Any) -> None:
    unit.store(now, code.tanh(sums[0]))


def rnn_tanh_adjoint(
    code: Code, unit: Unit, from_h: Any, to_sums: Any, to_h: Any, to_c: Any, before: Any, kept_before: Any, now: Any,
    kept: Any,
) -> None:  # fmt: skip
    unit.store(to_sums, code.product_of(from_h, code.slope(unit.load(now))))
    unit.store(to_h, ZERO)


def rnn_relu(code: Code, unit: Unit, sums: list[Any], before: Any, kept_before: Any, now: Any, kept: Any) -> None:
    unit.store(now, *code.where_positive(sums[:1], sums[:1]))


def rnn_relu_adjoint(
    code: Code, unit: Unit, from_h: Any, to_sums: Any, to_h: Any, to_c: Any, before: Any, kept_before: Any, now: Any,
    kept: Any,
) -> None:  # fmt: skip
    unit.store(to_sums, *code.where_positive([unit.load(now)], [from_h]))
    unit.store(to_h, ZERO)


CELLS = {
    "lstm": Cell(lstm, lstm_adjoint, gates=4, kept=5, sums=4),
    "gru": Cell(gru, gru_adjoint, gates=3, kept=4, sums=4),
    "rnn_tanh": Cell(rnn_tanh, rnn_tanh_adjoint, gates=1, kept=0, sums=1),
    "rnn_relu": Cell(rnn_relu, rnn_relu_adjoint, gates=1, kept=0, sums=1),
}
NUMBERS = {name: number for number, name in enumerate(CELLS)}
"""Kernels know a cell by its number."""


@narrow
def advance(
    code: Code, number: Any, x: Any, input_XQ: Any, hidden_JQ: Any, before: Any, kept_before: Any, now: Any, kept: Any,
    X: Any, H: Any,
) -> None:  # fmt: skip
    """Compute a step of all units of a cell: h and what is kept."""

    def step(cell: Cell) -> None:
        def units(first: Any, n: int) -> None:
            def product(sums: list[Any], weight_IQ: Any, rows: Any, inner: Any) -> list[Any]:
                weights = code.at(weight_IQ, (first, cell.gates)), code.times(H, cell.gates)
                return code.product(sums, weights, (rows, WIDTH), inner)

            of_x = product([ZERO] * (n * cell.gates), input_XQ, x, X)
            last = cell.gates - 1
            start = [ZERO if cell.apart and i % cell.gates == last else total for i, total in enumerate(of_x)]
            sums = product(start, hidden_JQ, before, code.plus(H, 1))
            for j in range(n):
                mine = sums[j * cell.gates :][: cell.gates] + [of_x[j * cell.gates + last]] * cell.apart
                cell.forward(code, Unit(code, code.plus(first, j), H), mine, before, kept_before, now, kept)

        code.in_tiles(H, max(1, OUTPUTS // cell.sums), units)

    for place, cell in enumerate(CELLS.values()):
        with code.case(number, place):
            step(cell)


@narrow
def retreat(
    code: Code, number: Any, hidden_KJ: Any, to_next: Any, to_sums: Any, to_h: Any, to_c: Any, before: Any,
    kept_before: Any, now: Any, kept: Any, H: Any,
) -> None:  # fmt: skip
    """Run the adjoint of a step of all units.

    to_next holds the gradients of the next step's sums, and to_h and to_c what else h and c pass on from there. They
    become those of this step: to_sums, and what h and c of the step before get by other ways than the product.
    """

    def step(cell: Cell) -> None:
        next_K = code.at(to_next, (code.times(H, cell.sums - cell.gates), WIDTH))

        def from_product(first: Any, n: int) -> None:
            here = code.at(to_h, (first, WIDTH))
            weights = code.at(hidden_KJ, first), code.plus(H, 1)
            sums = code.load_rows(here, WIDTH, n)
            sums = code.product(sums, weights, (next_K, WIDTH), code.times(H, cell.gates))
            code.store_rows(sums, here, WIDTH)

        def unit(number: Any) -> None:
            one = Unit(code, number, H)
            cell.backward(code, one, one.load(to_h), to_sums, to_h, to_c, before, kept_before, now, kept)

        code.in_tiles(H, OUTPUTS, from_product)
        code.every(H, 1, unit)

    for place, cell in enumerate(CELLS.values()):
        with code.case(number, place):
            step(cell)


@narrow
def pull_input(code: Code, to_x: Any, to_sums: Any, input_KX: Any, D: Any, K: Any) -> None:
    """to_x = Wᵀ to_sums."""

    def outputs(first: Any, n: int) -> None:
        weights = code.at(input_KX, first), code.plus(D, 1)
        sums = code.product([ZERO] * n, weights, (to_sums, WIDTH), K)
        code.store_rows(sums, code.at(to_x, (first, WIDTH)), WIDTH)

    code.in_tiles(D, OUTPUTS, outputs)
