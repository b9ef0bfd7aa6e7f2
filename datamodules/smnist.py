"""Sequential MNIST: 28×28 handwritten digits read pixel by pixel, 784 steps (Le, Jaitly & Hinton 2015).

A sample is the 784 grey values of an image, row by row, each in [0, 1]; the answer is the digit. The tiny variant has
noise in place of digits, brighter for higher labels:

>>> task = SMNIST(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.x[0, :4, 0].mul(255).int().tolist(), batch.y[0].item()
(torch.Size([64, 16, 1]), [66, 57, 38, 50], 1)
"""

from datamodules._idx import MNIST
from datamodules._images import IdxTask


class SMNIST(IdxTask):
    """Name the digit in an image read pixel by pixel. Guessing is right one time in ten."""

    dataset = MNIST
    summary = "28×28 handwritten digits, pixel by pixel"
    variants = {"smnist": {}}
