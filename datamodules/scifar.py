"""Sequential CIFAR-10: 32×32 photographs read pixel by pixel, 1,024 steps, in colour or in grey (`scifar-grey`).

A step is a pixel's red, green and blue, each in [0, 1]; in grey it is (299 R + 587 G + 114 B) / 1000, rounded to a
whole number of 255ths (Long Range Arena's image task). The answer is one of ten kinds of things. The tiny variant has
noise in place of photographs, brighter for higher labels:

>>> batch = next(iter(SCIFAR(tiny=True).val_dataloader()))
>>> batch.x.shape, batch.x[0, 0].mul(255).round().int().tolist(), batch.y[0].item()
(torch.Size([64, 16, 3]), [56, 104, 45], 1)
>>> grey = next(iter(SCIFAR("scifar-grey", tiny=True).val_dataloader()))
>>> grey.x.shape
torch.Size([64, 16, 1])
"""

import numpy as np

from datamodules._cifar import CifarTask
from datamodules._images import Images

LUMA = np.array([299, 587, 114], dtype=np.uint32)  # thousandths


class SCIFAR(CifarTask):
    """Name what is in a photograph read pixel by pixel. Guessing is right one time in ten."""

    summary = "32×32 photographs, pixel by pixel"
    variants = {"scifar": {"steps": 1_024, "width": 3}, "scifar-grey": {"steps": 1_024, "width": 1}}
    tiny = {"steps": 16, "side": 4}

    def arrange(self, images: Images) -> Images:
        x_NTC = images.reshape(len(images), -1, 3)
        if self.width == 3:
            return x_NTC
        return ((x_NTC @ LUMA + 500) // 1000).astype(np.uint8)[:, :, None]
