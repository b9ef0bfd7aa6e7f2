"""Noise-padded CIFAR-10: 32 rows of a photograph, then noise to 1,000 steps (Chang et al. 2019).

A step is a row of 32 pixels of red, green and blue, 96 numbers in [0, 1]; after the 32 rows come 968 steps of numbers
from N(0, 1), drawn once and the same in every sample. The answer is one of ten kinds of things. The tiny variant has
sixteen steps. In place of a photograph it has four rows of noise, brighter for higher labels:

>>> batch = next(iter(NCIFAR(tiny=True).val_dataloader()))
>>> batch.x.shape, batch.x[0, 0, :3].mul(255).round().int().tolist(), batch.y[0].item()
(torch.Size([64, 16, 12]), [141, 105, 107], 7)
>>> bool((batch.x[0, 4:] == batch.x[1, 4:]).all())
True
"""

import hashlib
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from datamodules._base import Samples
from datamodules._cifar import CifarTask
from datamodules._images import Images


class NCIFAR(CifarTask):
    """Name what is in a photograph, after many steps of noise. Guessing is right one time in ten."""

    summary = "32 rows of photographs, then noise to 1,000 steps"
    variants = {"ncifar": {"steps": 1_000, "width": 96}}
    tiny = {"steps": 16, "side": 4, "width": 12}

    def arrange(self, images: Images) -> Images:
        return images.reshape(len(images), self.side, self.width)

    def decode(self, batch: Samples) -> Samples:
        rows_BTD = super().decode(batch).x
        noise_BTD = self._noise.to(rows_BTD.device).expand(len(rows_BTD), -1, -1)
        return batch._replace(x=torch.cat([rows_BTD, noise_BTD], dim=1))

    def facts(self) -> dict[str, str]:
        return {"noise_sha256": hashlib.sha256(self._noise.numpy().tobytes()).hexdigest()}

    @cached_property
    def _noise(self) -> Tensor:
        """The steps after the photograph, (T, D)."""
        shape = (self.steps - self.side, self.width)
        return torch.from_numpy(self.rng("noise").standard_normal(shape, dtype=np.float32))
