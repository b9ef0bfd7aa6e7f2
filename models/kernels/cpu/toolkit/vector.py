"""Vector code for numba: a builder of small tiles in LLVM's own language, for this machine's vector width.

A row holds `LANES` numbers, or those of one vector in a narrow tile. So a weight, read once and spread over a vector,
feeds as many multiply-adds as a row has vectors, and nothing is added up across a vector before the end. LLVM's vectors
are portable: where the machine's are narrower, the compiler splits them.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

FLOAT, INDEX = ir.FloatType(), ir.IntType(64)


def host_features() -> set[str]:
    """Return the instruction sets that numba compiles for: its own setting if there is one, else the machine's."""
    text = config.CPU_FEATURES  # type: ignore[attr-defined]
    if text is None:
        text = binding.get_host_cpu_features().flatten()
    return {word[1:] for word in text.split(",") if word.startswith("+")}


def fitting(features: set[str]) -> tuple[int, int, int]:
    """Return what the registers hold: numbers of a vector, outputs of a product tile, rows of a gradient tile."""
    # AVX-512 has 32 vector registers and so has ARM; AVX2 has 16. A product tile takes 2 of them for each output's
    # sums, a gradient tile 4 for each row's, and the operands need the rest.
    if "avx512f" in features:
        return 16, 10, 4
    return (8, 5, 2) if "avx2" in features else (4, 10, 4)


WIDTH, OUTPUTS, ROWS = fitting(host_features())
VECTORS = 2
LANES = VECTORS * WIDTH
COLUMNS = 4  # columns of a gradient tile
STEPS = min(OUTPUTS, 8)  # outputs of a product tile where they are steps: a segment has 16, a multiple of 8

VECTOR, BITS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(ir.IntType(32), WIDTH)
ZERO, ONE = ir.Constant(VECTOR, [0.0] * WIDTH), ir.Constant(VECTOR, [1.0] * WIDTH)

LOG2_E, LN_2_HIGH, LN_2_LOW = math.log2(math.e), 0.693359375, math.log(2) - 0.693359375
EXP = tuple(1 / math.factorial(n) for n in range(7, -1, -1))
ATANH = tuple(1 / n for n in range(15, 0, -2))  # coefficients of atanh(s)/s in s², for s up to ⅓
LOWEST = -87.0  # exp of anything lower is no normal number
# 2^x for |x| ≤ ½, to 9e-8: the least relative error of all polynomials of degree 5 that are 1 at 0.
EXP2 = (
    1.32647360215802e-03,
    9.67151584762145e-03,
    5.55073375169971e-02,
    2.40222420366914e-01,
    6.93146977574899e-01,
    1.0,
)
LOWEST_POWER = -125.0  # 2 to anything lower is no normal number
MANTISSA = 23  # bits of a float's mantissa
ERF_P, ERF = 0.3275911, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
GELU = 2 * math.sqrt(2 / math.pi)
ROUNDING = 1.5 * 2.0**MANTISSA  # added to a number, it leaves the nearest whole number in the last bits

# tanh x = x P(x²) / Q(x²), the rational approximation of Eigen (ptanh_float). Its relative error is at most 3e-7, also
# near 0, and its value is 1 at TANH_END.
TANH_END = 7.99881172180175781
TANH_P = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
          1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03)  # fmt: skip
TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


def constant(value: float) -> Any:
    return ir.Constant(VECTOR, [value] * WIDTH)


def tile(body: Callable[..., None], vectors: int = VECTORS) -> Any:
    """Make `body(code, *values)` callable from numba. An array arrives as a pointer to its first number.

    `vectors` is how many a row has.

    The body runs in Python while numba compiles a kernel, and emits the tile's instructions into it. So a Python loop
    in a body is unrolled. Loops at run time are those of `Code`.
    """

    def typed(typing_context: Any, *kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values = [
                context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, arguments, strict=True)
            ]
            body(Code(builder, vectors), *values)
            return context.get_dummy_value()

        return types.void(*kinds), generate

    typed.__name__ = typed.__qualname__ = body.__name__
    typed.__signature__ = inspect.signature(body)  # type: ignore[attr-defined]  # numba refuses *arguments
    return intrinsic(typed)


def narrow(body: Callable[..., None]) -> Any:
    """Make a tile whose rows are one vector."""
    return tile(body, vectors=1)


class Code:
    """Emits the few operations that tiles are made of.

    Args:
        vectors: the vectors of a row.
    """

    def __init__(self, builder: Any, vectors: int = VECTORS) -> None:
        self.builder = builder
        self.vectors = vectors

    def case(self, value: Any, number: int) -> AbstractContextManager[Any]:
        """Run what is emitted inside where a value is this number."""
        equal: AbstractContextManager[Any] = self.builder.if_then(self.builder.icmp_signed("==", value, INDEX(number)))
        return equal

    def at(self, pointer: Any, *terms: Any) -> Any:
        """Return a pointer moved on by whole numbers or products (count, stride)."""
        for term in terms:
            term = self.builder.mul(*map(index, term)) if isinstance(term, tuple) else index(term)
            pointer = self.builder.gep(pointer, [term])
        return pointer

    def plus(self, a: Any, b: int) -> Any:
        return self.builder.add(a, INDEX(b))

    def minus(self, a: Any, b: Any) -> Any:
        return self.builder.sub(a, index(b))

    def times(self, a: Any, b: int) -> Any:
        return self.builder.mul(a, INDEX(b))

    def load(self, pointer: Any, kind: Any = VECTOR) -> Any:
        # align=4: a row may begin at any number, not only at a whole vector
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=4)

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer()), align=4)

    def load_each(self, pointer: Any, count: int) -> list[Any]:
        """Load vectors that lie side by side."""
        return [self.load(self.at(pointer, i * WIDTH)) for i in range(count)]

    def store_each(self, vectors: list[Any], pointer: Any) -> None:
        for i, vector in enumerate(vectors):
            self.store(vector, self.at(pointer, i * WIDTH))

    def load_pair(self, pointer: Any, place: Any, apart: Any) -> list[Any]:
        """Load two vectors that lie `apart` numbers apart, such as real and imaginary parts."""
        return [self.load(self.at(pointer, place)), self.load(self.at(pointer, place, apart))]

    def store_pair(self, pair: list[Any], pointer: Any, place: Any, apart: Any) -> None:
        self.store(pair[0], self.at(pointer, place))
        self.store(pair[1], self.at(pointer, place, apart))

    def add_each(self, vectors: list[Any], pointer: Any) -> None:
        """Add vectors to those stored at a pointer."""
        self.store_each(self.add(vectors, self.load_each(pointer, len(vectors))), pointer)

    def add_products(self, a: list[Any], b: list[Any], pointer: Any) -> None:
        """Add Σ_i a_i b_i to the vector stored at a pointer."""
        self.store(self.add_up(a, b, self.load(pointer)), pointer)

    def add_up(self, a: list[Any], b: list[Any], total: Any) -> Any:
        """Return total + Σ_i a_i b_i, lane by lane."""
        for x, y in zip(a, b, strict=True):
            total = self.fma(x, y, total)
        return total

    def add_total(self, vector: Any, pointer: Any) -> None:
        """Add the sum over the lanes of a vector to the number stored at a pointer."""
        half = WIDTH // 2
        while half:
            moved = [(lane + half) % WIDTH for lane in range(WIDTH)]
            vector = self.builder.fadd(vector, self.shuffle(vector, vector, moved))
            half //= 2
        total = self.builder.extract_element(vector, INDEX(0))
        self.builder.store(self.builder.fadd(self.builder.load(pointer), total), pointer)

    def add_totals(self, groups: Sequence[list[Any]], pointers: list[Any]) -> None:
        """Add the sum over the lanes of each vector of a group to the numbers that lie side by side at its pointer.

        The groups are of one length, and all vectors together are at most WIDTH.
        """
        count = len(groups[0])
        (totals,) = self.across([vector for group in groups for vector in group])
        for i, pointer in enumerate(pointers):
            part = self.shuffle(totals, totals, list(range(i * count, (i + 1) * count)))
            self.store(self.builder.fadd(self.load(pointer, part.type), part), pointer)

    def unpack(self, values: Any) -> list[Any]:
        """Return the whole numbers of a tuple."""
        return [self.builder.extract_value(values, i) for i in range(len(values.type.elements))]

    def load_rows(self, pointer: Any, stride: Any, count: int) -> list[Any]:
        """Load the vectors of `count` rows, row by row."""
        return [self.load(self.at(pointer, (i, stride), v * WIDTH)) for i in range(count) for v in range(self.vectors)]

    def store_rows(self, values: list[Any], pointer: Any, stride: Any) -> None:
        for place, value in enumerate(values):
            i, v = divmod(place, self.vectors)
            self.store(value, self.at(pointer, (i, stride), v * WIDTH))

    def spread(self, pointer: Any) -> Any:
        """Load a number into every place of a vector."""
        one = self.builder.insert_element(ir.Constant(VECTOR, ir.Undefined), self.builder.load(pointer), INDEX(0))
        return self.shuffle(one, one, [0] * WIDTH)

    def spread_each(self, pointer: Any, count: int) -> list[Any]:
        """Load numbers that lie side by side, each into every place of a vector."""
        return [self.spread(self.at(pointer, i)) for i in range(count)]

    def spread_rows(self, pointer: Any, count: int, apart: Any = 1) -> list[Any]:
        """Load `count` numbers, each into every lane of a row."""
        return [vector for i in range(count) for vector in [self.spread(self.at(pointer, (i, apart)))] * self.vectors]

    def shuffle(self, a: Any, b: Any, places: list[int]) -> Any:
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.v{WIDTH}f32")
        return self.builder.call(function, [a, b, c])

    def negative(self, a: Any) -> Any:
        return self.builder.fneg(a)

    def product_of(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b)

    def difference(self, a: Any, b: Any) -> Any:
        return self.builder.fsub(a, b)

    def exp_of_negative(self, v: Any) -> Any:
        """Return exp(v) for v ≤ 0, as in functions.py: 2^k times a polynomial of the rest. NaN does not survive."""
        return self._exp(self.at_least(LOWEST, v))

    def exp2_of_product(self, a: Any, b: Any) -> Any:
        """Return 2^(a b) for a b ≤ 0, in two thirds of the time of exp. NaN does not survive."""
        shifted = self.at_least(ROUNDING + LOWEST_POWER, self.fma(a, b, constant(ROUNDING)))
        k = self.builder.fsub(shifted, constant(ROUNDING))
        rest = self.at_least(-1.0, self.fma(a, b, self.negative(k)))  # further below only where k is the lowest power
        return self._scaled(self.polynomial(EXP2, rest), shifted)

    def at_least(self, bound: float, x: Any) -> Any:
        """Return the larger of x and a bound. NaN becomes the bound."""
        return self.builder.select(self.builder.fcmp_ordered(">", x, constant(bound)), x, constant(bound))

    def _exp(self, v: Any) -> Any:
        """Return exp(v) for LOWEST ≤ v ≤ −LOWEST."""
        # k, the whole number nearest to v / ln 2, is in the last bits of `shifted`: no conversion to integers.
        shifted = self.fma(v, constant(LOG2_E), constant(ROUNDING))
        k = self.builder.fsub(shifted, constant(ROUNDING))
        # v − k ln 2, with ln 2 in two parts so that no digits are lost.
        rest = self.fma(k, constant(-LN_2_LOW), self.fma(k, constant(-LN_2_HIGH), v))
        value = self.polynomial(EXP, rest)
        return self._scaled(value, shifted)

    def _scaled(self, value: Any, shifted: Any) -> Any:
        """Return value · 2^k, where k is in the last bits of `shifted`."""
        # Adding k to the exponent's bits multiplies by 2^k.
        power = self.builder.shl(self.builder.bitcast(shifted, BITS), ir.Constant(BITS, [MANTISSA] * WIDTH))
        return self.builder.bitcast(self.builder.add(self.builder.bitcast(value, BITS), power), VECTOR)

    def gelu(self, v: Any) -> tuple[Any, Any]:
        """Return GELU(v) in its form by tanh, and its slope. Since (1 + tanh z) / 2 = σ(2 z), it is v σ(2 z)."""
        square = self.product_of(v, v)
        curve = self.fma(square, constant(0.044715 * GELU), constant(GELU))  # 2 z / v
        share = self.sigmoid(self.product_of(v, curve))
        steep = self.fma(square, constant(3 * 0.044715 * GELU), constant(GELU))
        rest = self.product_of(share, self.difference(constant(1.0), share))
        return self.product_of(v, share), self.fma(self.product_of(v, rest), steep, share)

    def gelu_by_erf(self, v: Any) -> tuple[Any, Any]:
        """Return GELU(v) = v Φ(v) and its slope Φ(v) + v φ(v), to 2e-7.

        1 − Φ is ½ φ-shaped times a polynomial of 1 / (1 + p |v| / √2): Abramowitz & Stegun 1964, 7.1.26.
        """
        positive = self.builder.fcmp_ordered(">", v, ZERO)
        size = self.builder.select(positive, v, self.negative(v))
        bell = self.exp_of_negative(self.product_of(self.product_of(v, v), constant(-0.5)))
        t = self.builder.fdiv(constant(1.0), self.fma(size, constant(ERF_P / math.sqrt(2)), constant(1.0)))
        tail = self.product_of(self.product_of(self.polynomial(ERF, t), t), self.product_of(bell, constant(0.5)))
        share = self.builder.select(positive, self.difference(constant(1.0), tail), tail)
        density = self.product_of(bell, constant(1 / math.sqrt(2 * math.pi)))
        return self.product_of(v, share), self.fma(v, density, share)

    def root(self, v: Any) -> Any:
        """Return √v."""
        kind = ir.FunctionType(VECTOR, [VECTOR])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.sqrt.v{WIDTH}f32")
        return self.builder.call(function, [v])

    def inverse_root(self, v: Any) -> Any:
        """Return 1 / √v."""
        return self.builder.fdiv(constant(1.0), self.root(v))

    def polynomial(self, coefficients: Sequence[float], x: Any) -> Any:
        """Return the polynomial of x whose coefficients are given from the highest power down."""
        value = constant(coefficients[0])
        for coefficient in coefficients[1:]:
            value = self.fma(value, x, constant(coefficient))
        return value

    def within(self, bound: float, x: Any) -> Any:
        """Return x cut to [−bound, bound]. NaN stays NaN."""
        x = self.builder.select(self.builder.fcmp_unordered("<", x, constant(bound)), x, constant(bound))
        return self.builder.select(self.builder.fcmp_unordered(">", x, constant(-bound)), x, constant(-bound))

    def sigmoid(self, x: Any) -> Any:
        x = self.within(-LOWEST, x)
        value = self.builder.fdiv(ONE, self.builder.fadd(ONE, self._exp(self.negative(x))))
        return self.fma(ZERO, x, value)  # NaN stays NaN

    def log_sigmoid(self, x: Any) -> tuple[Any, Any]:
        """Return log σ(x) and σ(−x). log σ(x) = min(x, 0) − log(1 + e) with log(1 + e) = 2 atanh(e / (2 + e))."""
        positive = self.builder.fcmp_ordered(">", x, ZERO)
        e = self.exp_of_negative(self.builder.select(positive, self.negative(x), x))
        s = self.builder.fdiv(e, self.builder.fadd(constant(2.0), e))
        series = self.product_of(s, self.polynomial(ATANH, self.product_of(s, s)))
        lower = self.builder.select(positive, ZERO, x)  # NaN stays NaN
        rest = self.builder.fdiv(self.builder.select(positive, e, ONE), self.builder.fadd(ONE, e))
        return self.fma(constant(-2.0), series, lower), rest

    def tanh(self, x: Any) -> Any:
        x = self.within(TANH_END, x)
        square = self.product_of(x, x)
        return self.builder.fdiv(self.product_of(x, self.polynomial(TANH_P, square)), self.polynomial(TANH_Q, square))

    def slope(self, y: Any) -> Any:
        """Return 1 − y², the slope of tanh where its value is y."""
        return self.fma(self.negative(y), y, ONE)

    def sigmoid_slope(self, y: Any) -> Any:
        """Return y (1 − y), the slope of σ where its value is y."""
        return self.fma(self.negative(y), y, y)

    def multiply(self, a: list[Any], b: list[Any]) -> list[Any]:
        return [self.builder.fmul(x, y) for x, y in zip(a, b, strict=True)]

    def multiply_add(self, a: list[Any], b: list[Any], c: list[Any]) -> list[Any]:
        """Return a_i b_i + c_i."""
        return [self.fma(*three) for three in zip(a, b, c, strict=True)]

    def scale(self, vectors: list[Any], by: Any) -> list[Any]:
        return [self.builder.fmul(vector, by) for vector in vectors]

    def add_to_each(self, vectors: list[Any], weights: list[Any], row: Any) -> list[Any]:
        """Return vectors[i] + weights[i] row."""
        return [self.fma(weight, row, vector) for vector, weight in zip(vectors, weights, strict=True)]

    def complex_fma(self, a: Sequence[Any], b: Sequence[Any], c: Sequence[Any]) -> list[Any]:
        """Return a b + c, each as its real and its imaginary part."""
        re = self.fma(a[0], b[0], self.fma(self.negative(a[1]), b[1], c[0]))
        return [re, self.fma(a[0], b[1], self.fma(a[1], b[0], c[1]))]

    def add(self, a: list[Any], b: list[Any]) -> list[Any]:
        return [self.builder.fadd(x, y) for x, y in zip(a, b, strict=True)]

    def where_positive(self, tests: list[Any], values: list[Any]) -> list[Any]:
        """Return the values where the tests are above zero or NaN, as torch's ReLU does, else 0."""
        positive = [self.builder.fcmp_unordered(">", test, ZERO) for test in tests]
        return [self.builder.select(p, value, ZERO) for p, value in zip(positive, values, strict=True)]

    def loop(self, count: Any, sums: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """Run `sums = body(i, sums)` for i = 0 … count − 1 and return the last sums."""
        # LLVM turns these cells of the stack into registers.
        cells = [cgutils.alloca_once_value(self.builder, value) for value in sums]
        with cgutils.for_range(self.builder, index(count), intp=INDEX) as step:
            for cell, value in zip(cells, body(step.index, [self.builder.load(cell) for cell in cells]), strict=True):
                self.builder.store(value, cell)
        return [self.builder.load(cell) for cell in cells]

    def loop_in_place(self, count: Any, places: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> None:
        """Run a loop over the vectors that lie at these places, which are in registers until it ends."""
        end = self.loop(count, [self.load(place) for place in places], body)
        for vector, place in zip(end, places, strict=True):
            self.store(vector, place)

    def every(self, count: Any, size: int, body: Callable[[Any], None]) -> None:
        """Run `body(first)` for every run of `size` numbers. `count` is a multiple of `size`."""
        with cgutils.for_range(self.builder, self.builder.udiv(count, INDEX(size)), intp=INDEX) as step:
            body(self.times(step.index, size))

    def in_tiles(self, count: Any, size: int, body: Callable[[Any, int], None]) -> None:
        """Run `body(first, n)` for runs of n = `size`, and for the rest of `count` with half of n, and so on down to 1.

        `count` is known at run time only, and the body is compiled for each n. Halving n needs few of them.
        """
        done: Any = INDEX(0)
        while size:
            runs = self.builder.udiv(self.builder.sub(count, done), INDEX(size))
            with cgutils.for_range(self.builder, runs, intp=INDEX) as step:
                body(self.builder.add(done, self.times(step.index, size)), size)
            done = self.builder.add(done, self.times(runs, size))
            size //= 2

    def product(
        self, sums: list[Any], weights: tuple[Any, Any], rows: tuple[Any, Any], count: Any, apart: Any = 1
    ) -> list[Any]:
        """Return sums[j] + Σ_i weights[i, j] rows[i].

        Both operands are (pointer, stride of i). The weights' stride of j is `apart`.
        """
        outputs = len(sums) // self.vectors

        # All sums stay in registers. A row is read once for all outputs, and a weight is spread once for all vectors.
        def step(i: Any, sums: list[Any]) -> list[Any]:
            row = self.load_rows(self.at(rows[0], (i, rows[1])), 0, 1)
            weight = self.spread_rows(self.at(weights[0], (i, weights[1])), outputs, apart)
            return [self.fma(w, row[place % self.vectors], total)
                    for place, (w, total) in enumerate(zip(weight, sums, strict=True))]  # fmt: skip

        return self.loop(count, sums, step)

    def outer(self, sums: list[Any], a: tuple[Any, Any, Any], b: tuple[Any, Any, Any], count: Any) -> list[Any]:
        """Return sums[i, j] + Σ_n a[n, i] b[n, j], lane by lane.

        The operands are (pointer, stride of n, stride of i or j).
        """
        rows = len(sums) // COLUMNS

        # The vectors of a row go into the same sums, one after the other: a tile of sums fits into the registers, and
        # each vector that is read feeds a whole row or column of them.
        def step(n: Any, sums: list[Any]) -> list[Any]:
            left = self.load_rows(self.at(a[0], (n, a[1])), a[2], rows)
            right = self.load_rows(self.at(b[0], (n, b[1])), b[2], COLUMNS)
            for v in range(self.vectors):
                pairs = [(x, y) for x in left[v :: self.vectors] for y in right[v :: self.vectors]]
                sums = [self.fma(x, y, total) for (x, y), total in zip(pairs, sums, strict=True)]
            return sums

        return self.loop(count, sums, step)

    def transpose(self, vectors: list[Any]) -> list[Any]:
        """Return the columns of WIDTH vectors."""
        half = WIDTH // 2
        while half:
            low = [lane if not lane & half else WIDTH + lane - half for lane in range(WIDTH)]
            high = [lane + half if not lane & half else WIDTH + lane for lane in range(WIDTH)]
            pairs = [(vectors[i & ~half], vectors[i | half], high if i & half else low) for i in range(WIDTH)]
            vectors = [self.shuffle(*pair) for pair in pairs]
            half //= 2
        return vectors

    def scan(self, a: Any, b: Any, before: Any, back: bool = False) -> Any:
        """Return h_i = a_i h_{i−1} + b_i along the lanes, with h_{−1} = `before` in every lane; `back`: from the last.

        Neighbours are merged, then pairs, then fours: as many rounds as the width has bits.
        """
        ones, shift = constant(1.0), 1
        while shift < WIDTH:
            moved = [lane + shift if back else lane - shift for lane in range(WIDTH)]
            places = [lane if 0 <= lane < WIDTH else WIDTH for lane in moved]
            b = self.fma(a, self.shuffle(b, ZERO, places), b)
            a = self.product_of(a, self.shuffle(a, ones, places))
            shift *= 2
        return self.fma(a, before, b)

    def everywhere(self, vector: Any, lane: int) -> Any:
        """Return a vector of one lane's number."""
        return self.shuffle(vector, vector, [lane] * WIDTH)

    def shifted(self, vector: Any, end: Any, back: bool = False) -> Any:
        """Return each lane's number in the next lane (`back`: the one before), with the first of `end` in the gap."""
        moved = range(1, WIDTH + 1) if back else [WIDTH, *range(WIDTH - 1)]
        return self.shuffle(vector, end, list(moved))

    def across(self, vectors: list[Any]) -> list[Any]:
        """Return the sum over the lanes of each vector, WIDTH sums to a vector."""
        padded = [*vectors, *[ZERO] * (-len(vectors) % WIDTH)]
        return [self.fold(padded[i : i + WIDTH]) for i in range(0, len(padded), WIDTH)]

    def fold(self, vectors: list[Any]) -> Any:
        """Return the sums over the lanes of WIDTH vectors, as one vector.

        Each round pairs vectors and folds both of a pair in half, into one vector, so that they share the instructions.
        The sum of vector i ends up in lane i.
        """
        half = WIDTH // 2
        while half:
            low, high = vectors[:half], vectors[half:]
            keep = [lane + WIDTH * bool(lane & half) for lane in range(WIDTH)]
            move = [lane + half if not lane & half else lane - half + WIDTH for lane in range(WIDTH)]
            vectors = self.add(
                [self.shuffle(a, b, keep) for a, b in zip(low, high, strict=True)],
                [self.shuffle(a, b, move) for a, b in zip(low, high, strict=True)],
            )
            half //= 2
        return vectors[0]


def index(value: Any) -> Any:
    return value if isinstance(value, ir.Value) else INDEX(value)
