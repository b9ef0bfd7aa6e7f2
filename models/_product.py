"""Recurrences whose step is one product with the state and a function of each unit: s_t = f(drive_t + s_{t−1} M).

f acts on the first units, as tanh (the LMU) or as modReLU (expRNN); the others stay linear. Shapes: B batch, T time, K
state.
"""

from typing import Literal

from torch import Tensor

from models._stepwise import Backend, StepwiseRecurrence, loop_backend

Function = Literal["tanh", "modrelu"]
LARGEST = 256  # units whose M, a quarter of a megabyte, the registers of a GPU's multiprocessor hold


class ProductRecurrence(StepwiseRecurrence):
    """The first of a subclass's weights is M, (K, K)."""

    def backend(self, tensor: Tensor, weights: tuple[Tensor, ...]) -> Backend:
        on_gpu = loop_backend(tensor) == "triton" and len(weights[0]) <= LARGEST
        return "triton" if on_gpu else super().backend(tensor, weights)


def product_loop(drive_BTK: Tensor, m_KK: Tensor, bias: Tensor, function: Function) -> Tensor:
    """s of every step, (B, T, K), from zeros, by a kernel; f acts on as many units as there are biases."""
    if loop_backend(drive_BTK) == "triton":
        from models import _product_triton

        return _product_triton.product_loop(drive_BTK, m_KK, bias, function)
    from models._product_cpu import ProductLoop  # numba takes a second to import

    s_BTK: Tensor = ProductLoop.apply(drive_BTK, m_KK, bias, function)
    return s_BTK
