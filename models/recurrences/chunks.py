"""Chunks of time of each head, for recurrences of a matrix state.

Shapes: B batch, T time, N heads, d numbers of a head; M chunks of C steps, G = B N M.
"""

from torch import Tensor
from torch.nn import functional as F

STRONGEST = -30.0
"""The logarithm of the strongest decay of a step. Sums of far stronger ones would round off the weak ones beside."""


def in_chunks(x_BTNd: Tensor, size: int) -> Tensor:
    """Return chunks of time of each head, (B N M, size, d), the last one filled up with zeros."""
    missing = -x_BTNd.shape[1] % size
    x_BTNd = F.pad(x_BTNd, (0, 0, 0, 0, 0, missing)) if missing else x_BTNd
    return x_BTNd.unflatten(1, (-1, size)).permute(0, 3, 1, 2, 4).flatten(0, 2)


def from_chunks(x_GCe: Tensor, batch: int, steps: int) -> Tensor:
    """Return (B, T, N, e) without what filled up the last chunk."""
    chunks = -(-steps // x_GCe.shape[1])
    return x_GCe.unflatten(0, (batch, -1, chunks)).flatten(2, 3).transpose(1, 2)[:, :steps]
