"""Channels in vectors of WIDTH, for kernels that take one vector of channels after another through time.

Shapes: H channels, G vectors of them, T steps of a chunk.
"""

from typing import Any

import torch
from torch import Tensor

from models.kernels.cpu.toolkit.compile import FLOAT, part
from models.kernels.cpu.toolkit.vector import WIDTH


def in_vectors(values_H: Tensor) -> Tensor:
    """Rearrange (…, H) to (G, …, WIDTH), with zeros for the channels beyond H."""
    padded = torch.nn.functional.pad(values_H, (0, -values_H.shape[-1] % WIDTH))
    return padded.unflatten(-1, (-1, WIDTH)).movedim(-2, 0)


@part
def take(rows: Any, group: Any, out: Any) -> None:
    """Copy a vector of channels at every step of a chunk, (T, H) to (T, WIDTH), with zeros beyond the last channel."""
    first = group * WIDTH
    count = min(WIDTH, rows.shape[1] - first)
    for t in range(len(rows)):
        if count == WIDTH:  # a loop whose length is known compiles to one instruction
            for j in range(WIDTH):
                out[t, j] = rows[t, first + j]
        else:
            for j in range(WIDTH):
                out[t, j] = rows[t, first + j] if j < count else FLOAT(0)


@part
def put(values: Any, group: Any, rows: Any) -> None:
    """Copy a vector of channels back at every step, (T, WIDTH) to (T, H). Lanes beyond the last channel are dropped."""
    first = group * WIDTH
    count = min(WIDTH, rows.shape[1] - first)
    for t in range(len(rows)):
        if count == WIDTH:
            for j in range(WIDTH):
                rows[t, first + j] = values[t, j]
        else:
            for j in range(count):
                rows[t, first + j] = values[t, j]
