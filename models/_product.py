"""The loop of recurrences whose step is one product with the state and a function of each unit:

    s_t = f(drive_t + s_{t−1} M)

f acts on the first units, as tanh (the LMU) or as modReLU (expRNN); the others stay linear. Shapes: B batch, T time, K
state.
"""

from typing import Literal

from torch import Tensor

from models._stepwise import loop_backend

Function = Literal["tanh", "modrelu"]
GPU_UNITS = 256  # whose M, a quarter of a megabyte, the registers of a GPU's multiprocessor hold


def product_loop(drive_BTK: Tensor, m_KK: Tensor, bias: Tensor, function: Function) -> Tensor:
    """s of every step, (B, T, K), from zeros, by a kernel; f acts on as many units as there are biases."""
    if loop_backend(drive_BTK) == "triton":
        from models import _product_triton

        return _product_triton.product_loop(drive_BTK, m_KK, bias, function)
    from models._product_cpu import ProductLoop  # numba takes a second to import

    s_BTK: Tensor = ProductLoop.apply(drive_BTK, m_KK, bias, function)
    return s_BTK
