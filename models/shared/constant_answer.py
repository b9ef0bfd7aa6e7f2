"""Start a network at the best constant answer, so that its first steps are not spent on learning that answer.

Without this, everything that can raise the output grows at once where the answers' mean is not zero: ReLUs lose their
kinks and units die before a model has seen what differs between sequences (docs/fru-training.md).

Shapes: N samples, T time, V numbers of the readout: classes, tokens or values.
"""

import torch
from torch import Tensor, nn

from datamodules._spec import IGNORED, Label, TaskSpec, TokenPerStep


def start_at_constant(readout: nn.Module, spec: TaskSpec, y: Tensor) -> None:
    """Set the readout's bias to the constant answer with the least training loss. A readout without a bias stays.

    Args:
        y: the targets of the training split.
    """
    if isinstance(readout.bias, Tensor):
        with torch.no_grad():
            readout.bias.copy_(constant_answer(spec, y))


def constant_answer(spec: TaskSpec, y: Tensor) -> Tensor:
    """Return the constant output with the least loss, (V,): log shares of classes, or the mean (mae: median) of values.

    Each class counts once more than it occurs, so that one which is missing has a finite logarithm.
    """
    match spec.output:
        case Label(size) | TokenPerStep(size):
            counts_V = torch.bincount(y[y != IGNORED].flatten().long(), minlength=size) + 1
            return (counts_V / counts_V.sum()).log()
        case _:
            y_NV = y.flatten(0, -2)
            return y_NV.nanmedian(0).values if spec.metric == "mae" else y_NV.nanmean(0)
