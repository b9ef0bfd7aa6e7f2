"""Permuted sequential MNIST: the pixels of 28×28 digits in one fixed, scrambled order, 784 steps (Le et al. 2015).

Published numbers use different permutations. Here it is `numpy.random.RandomState(92916).permutation(784)`. The
permutation's hash is in a run's record. `psmnist-bitrev` reads the pixels in the order of their indices' reversed bits.

>>> PSMNIST().permutation()[:4].tolist(), PSMNIST("psmnist-bitrev").permutation()[:4].tolist()
([319, 576, 323, 107], [0, 512, 256, 768])
>>> PSMNIST().facts()["permutation_sha256"][:8]
'96240fe2'
"""

from datamodules._idx import MNIST
from datamodules._images import IdxTask


class PSMNIST(IdxTask):
    """Name the digit in an image whose pixels are read in a scrambled order. Guessing is right one time in ten."""

    dataset = MNIST
    summary = "28×28 handwritten digits, pixels in a fixed scrambled order"
    variants = {"psmnist": {"order": "random"}, "psmnist-bitrev": {"order": "bit-reversal"}}
