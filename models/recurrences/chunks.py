"""Chunks of time, for recurrences of a matrix state.

Shapes: B batch, T time, N heads, d numbers of a head; M chunks of C steps, G = B N M.
"""

from torch import Tensor
from torch.nn import functional as F

STRONGEST = -30.0
"""The logarithm of the strongest decay of a step. Sums of far stronger ones would round off the weak ones beside."""


def cut(x_BT: Tensor, size: int) -> Tensor:
    """Return chunks of time, (B, M, size, …), of (B, T, …), the last one filled up with zeros."""
    missing = -x_BT.shape[1] % size
    if missing:
        x_BT = F.pad(x_BT, (*[0, 0] * (x_BT.dim() - 2), 0, missing))
    return x_BT.unflatten(1, (-1, size))


def in_chunks(x_BTNd: Tensor, size: int) -> Tensor:
    """Return chunks of time of each head, (B N M, size, d), the last one filled up with zeros."""
    return cut(x_BTNd, size).permute(0, 3, 1, 2, 4).flatten(0, 2)


def from_chunks(x_GCe: Tensor, batch: int, steps: int) -> Tensor:
    """Return (B, T, N, e) without what filled up the last chunk."""
    chunks = -(-steps // x_GCe.shape[1])
    return x_GCe.unflatten(0, (batch, -1, chunks)).flatten(2, 3).transpose(1, 2)[:, :steps]
