"""Channels in vectors of WIDTH, for kernels that take a vector of channels through time after the other.

Shapes: H channels, G vectors of them, T steps of a chunk.
"""

from typing import Any

import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, part
from models.kernels.cpu.toolkit.vector import WIDTH


def in_vectors(values_H: Tensor) -> Tensor:
    """(…, H) to (G, …, WIDTH), with zeros for the channels beyond H."""
    padded = torch.nn.functional.pad(values_H, (0, -values_H.shape[-1] % WIDTH))
    return padded.unflatten(-1, (-1, WIDTH)).movedim(-2, 0)


@part
def take(rows: Any, group: Any, out: Any) -> None:
    """A vector of channels at every step of a chunk, (T, H) to (T, WIDTH); zeros beyond the last channel."""
    first = group * WIDTH
    count = min(WIDTH, rows.shape[1] - first)
    for t in range(len(rows)):
        if count == WIDTH:  # a loop of known length is one instruction
            for j in range(WIDTH):
                out[t, j] = rows[t, first + j]
        else:
            for j in range(WIDTH):
                out[t, j] = rows[t, first + j] if j < count else FLOAT(0)


@part
def put(values: Any, group: Any, rows: Any) -> None:
    """The way back."""
    first = group * WIDTH
    count = min(WIDTH, rows.shape[1] - first)
    for t in range(len(rows)):
        if count == WIDTH:
            for j in range(WIDTH):
                rows[t, first + j] = values[t, j]
        else:
            for j in range(count):
                rows[t, first + j] = values[t, j]
