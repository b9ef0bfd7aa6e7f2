"""Permuted sequential Fashion-MNIST: the pixels of 28×28 pictures of clothes in one fixed, scrambled order, 784 steps.

The images are those of `fashion`; the order is that of `psmnist`.

>>> from datamodules.psmnist import PSMNIST
>>> PFashion().facts() == PSMNIST().facts()
True
>>> next(iter(PFashion(tiny=True).val_dataloader())).x.shape
torch.Size([64, 16, 1])
"""

from datamodules._idx import FASHION
from datamodules._images import IdxTask


class PFashion(IdxTask):
    """Name the piece of clothing in an image read in a scrambled order. Guessing is right one time in ten."""

    dataset = FASHION
    summary = "28×28 pictures of clothes, pixels in a fixed scrambled order"
    variants = {"pfashion": {"order": "random"}}
