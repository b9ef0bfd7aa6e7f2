"""Sequential Fashion-MNIST: 28×28 pictures of clothes read pixel by pixel, 784 steps (Xiao et al. 2017).

A sample is the 784 grey values of an image, row by row, each in [0, 1]; the answer is one of ten kinds of clothes. On
Debian, the package `dataset-fashion-mnist` has the files.

`fashion-14` averages each 2×2 pixels: 196 steps. There 0 points are what a network with one hidden layer reaches on how
often each of sixteen greys occurs in the image, 0.41. In `fashion`, they are what guessing reaches, 0.1.

The tiny variant has noise in place of pictures, brighter for higher labels:

>>> task = Fashion(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.x[0, :4, 0].mul(255).int().tolist(), batch.y[0].item()
(torch.Size([64, 16, 1]), [225, 197, 219, 188], 9)
"""

from datamodules._idx import FASHION
from datamodules._images import IdxTask


class Fashion(IdxTask):
    """Name the piece of clothing in an image read pixel by pixel. Guessing is right one time in ten."""

    dataset = FASHION
    variants = {
        "fashion": {"summary": "28×28 pictures of clothes, pixel by pixel"},
        "fashion-14": {"summary": "14×14 pictures of clothes, pixel by pixel", "side": 14, "chance": 0.41},
    }
