"""Batch normalisation of sequences. Shapes: B batch, T time, H channels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.shared.contract import valid_steps


class SequenceBatchNorm(nn.BatchNorm1d):
    """torch.nn.BatchNorm1d whose statistics are over the sequences and the steps together.

    In training an output so depends on all steps of all sequences of its batch, but for padding, which is left out of
    the statistics and comes out as 0. In evaluation running averages take their place, and no step sees another.
    """

    def forward(self, input: Tensor, lengths_B: Tensor | None = None) -> Tensor:  # noqa: A002  # as torch names it
        """Normalise (B, T, H), in the precision of the weights.

        Args:
            lengths_B: each sequence's number of steps. None means T.
        """
        h_BTH = input.to(self.weight.dtype)
        if lengths_B is None or not self.training:
            return super().forward(h_BTH.flatten(0, 1)).view_as(h_BTH)
        valid_BT = valid_steps(lengths_B, h_BTH.shape[1])
        y_BTH = torch.zeros_like(h_BTH)
        y_BTH[valid_BT] = super().forward(h_BTH[valid_BT])
        return y_BTH

    def one_step(self, h_BH: Tensor) -> Tensor:
        """Normalise a single step, (B, H), by the running averages, also in training."""
        h_BH = h_BH.to(self.weight.dtype)
        return F.batch_norm(h_BH, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
