"""Settings of a whole training process: arithmetic, messages and threads."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger

import torch

from bench.common.output_streams import protect_streams
from models.kernels.cpu.toolkit.threads import flush_denormals


def prepare_process() -> None:
    """Set the arithmetic and the messages that every run uses."""
    protect_streams()  # a message that can't be written must not end a training; a model may print, too
    # Gradients that vanish over hundreds of steps become denormal numbers, on which x86 processors are very slow: a
    # train step of an LSTM(200) over 784 steps took 22 s without this and 1.7 s with it, on two cores.
    flush_denormals()
    # Otherwise cuDNN's layers, unlike all other architectures, would round their factors to TF32's ten bits.
    torch.backends.cudnn.allow_tf32 = False
    # Deterministic mode would fill all fresh memory, which costs a fused forward pass three quarters of its speed.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    getLogger("lightning.pytorch").setLevel(ERROR)
    for module in ("lightning", "torchmetrics"):
        warnings.filterwarnings("ignore", module=rf"{module}\..*")


@contextmanager
def one_thread() -> Iterator[None]:
    """Train on one thread, unless OMP_NUM_THREADS says otherwise: at these sizes more processes beat more threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if "OMP_NUM_THREADS" in os.environ else 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
