"""A linear map whose weight is block-diagonal: each block of inputs has outputs of its own.

Small blocks are joined, with zeros between them, to blocks of up to TILE inputs. A CPU is busy with products of that
size, where many products of 4 × 4 numbers would cost it several times as long.

Shapes: N blocks, I inputs and O outputs of each, J joined blocks.
"""

import torch
from torch import Tensor, nn

from models.shared.linear import linear

TILE = 64


class BlockDiagonal(nn.Module):
    """Maps (…, N I) to (…, N O). The weight, (N, O, I), starts normal.

    Args:
        size: N I.
        blocks: N, which divides `size`.
        std: the standard deviation of the weight at the start.
        bias: whether it adds a bias (N O), which starts at zero.
    """

    def __init__(self, size: int, blocks: int, *, std: float, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(blocks, size // blocks, size // blocks).normal_(std=std))
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        joined = joined_blocks(self.weight)
        if len(joined) == 1:
            return linear(x, joined[0], self.bias)
        y = torch.einsum("...ji,joi->...jo", x.unflatten(-1, (len(joined), -1)), joined).flatten(-2)
        return y if self.bias is None else y + self.bias


def joined_blocks(weight_NOI: Tensor) -> Tensor:
    """Return the blocks, as many to one as divide their number and have room in TILE inputs: (J, N/J O, N/J I)."""
    blocks, outputs, inputs = weight_NOI.shape
    count = max(n for n in range(1, blocks + 1) if blocks % n == 0 and (n == 1 or n * inputs <= TILE))
    between = torch.eye(count, dtype=weight_NOI.dtype, device=weight_NOI.device)[:, None, :, None]
    tiles = between * weight_NOI.unflatten(0, (-1, count)).unsqueeze(3)  # (J, count, O, count, I)
    return tiles.reshape(blocks // count, count * outputs, count * inputs)
