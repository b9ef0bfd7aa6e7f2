"""The lengths of a batch of padded sequences. Shapes: B batch, T time, D input."""

import torch
from torch import Tensor


def check_lengths(lengths_B: Tensor, x_BTD: Tensor) -> None:
    """Refuse lengths that do not fit the input. Values on a GPU, or under torch.compile, are not checked.

    Raises:
        ValueError: the lengths are not B integers (int32 or int64) in [1, T].
    """
    if lengths_B.shape != x_BTD.shape[:1] or lengths_B.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"expected {len(x_BTD)} lengths, int32 or int64; got {tuple(lengths_B.shape)} of {lengths_B.dtype}"
        )
    on_host = lengths_B.device.type == "cpu" and not torch.compiler.is_compiling()  # else it would wait
    if on_host and len(lengths_B) and not 1 <= lengths_B.min() <= lengths_B.max() <= x_BTD.shape[1]:
        raise ValueError(f"lengths must be from 1 to {x_BTD.shape[1]}, the input's; got {lengths_B.tolist()}")
