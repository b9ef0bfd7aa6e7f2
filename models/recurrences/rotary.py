"""Rotary positions: queries and keys are turned by angles t ω_i, ω_i = 10000^{−2i/d} (Su et al. 2021).

Shapes: B batch, T time, N heads, d head size.
"""

from typing import Any

import torch
from torch import Tensor

LONGEST_PERIOD = 10_000.0
"""The base of the angles' frequencies, of Vaswani et al.'s sinusoids (§3.5) and of rotary positions alike."""


def rotations(time: Tensor, head_size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cos t ω_i and sin t ω_i for times t of any shape (…), (…, d/2) each."""
    half = head_size // 2
    # In float64, because t ω reaches hundreds of turns, where float32 is too coarse for the angle.
    omega_d = LONGEST_PERIOD ** (-torch.arange(half, device=time.device, dtype=torch.float64) / half)
    angle_d = time.double().unsqueeze(-1) * omega_d
    return angle_d.cos().to(dtype), angle_d.sin().to(dtype)


class Rotate(torch.autograd.Function):
    """Turn the pair (x_i, x_{i + d/2}) at time t by the angle t ω_i; the gradient turns back."""

    @staticmethod
    def forward(ctx: Any, x_BNTd: Tensor, cos_Td: Tensor, sin_Td: Tensor) -> Tensor:
        ctx.save_for_backward(cos_Td, sin_Td)
        turned_BNTd = torch.empty_like(x_BNTd, memory_format=torch.contiguous_format)
        (first, second), (new_first, new_second) = x_BNTd.chunk(2, dim=-1), turned_BNTd.chunk(2, dim=-1)
        torch.mul(first, cos_Td, out=new_first).addcmul_(second, sin_Td, value=-1)
        torch.mul(first, sin_Td, out=new_second).addcmul_(second, cos_Td)
        return turned_BNTd

    @staticmethod
    def backward(ctx: Any, grad_BNTd: Tensor) -> tuple[Tensor | None, ...]:
        cos_Td, sin_Td = ctx.saved_tensors
        return Rotate.apply(grad_BNTd, cos_Td, -sin_Td), None, None
