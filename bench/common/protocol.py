"""The version of training and evaluation. It changes only when they do, and not with every release."""

PROTOCOL = 2
"""Runs of different protocols are not compared.

- 1: a cosine or constant learning rate without warm-up; state-space models in residual blocks with mean pooling,
  recurrent ones in a plain layer; sizes and starts of some architectures were not their authors'.
- 2: warm-up and cosine for all; the same blocks, the last step is read; sizes and starts as their authors'; training
  ends early once the task is solved.
"""

FRU_PAPER_PROTOCOL = -1
"""Training and evaluation as in the FRU authors' code. Protocols below zero are papers' own; no board shows them."""
