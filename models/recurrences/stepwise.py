"""Recurrences that are nonlinear in the state and so go through time one step after the other.

What depends on the input alone, the drive, is computed for all steps at once. What depends on the weights alone is
computed once for all steps. A step computes the rest.

Shapes: B batch, T time, D input, H output, K width of the drive.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from models.kernels.backend import Backend, loop_backend, runs_compiled
from models.shared.contract import SequenceModel

State = tuple[Tensor, ...]  # the output first

COMPILED_STEPS = 8  # steps of torch's loop in a graph of torch.compile
KERNEL_WEIGHTS = 1_000_000  # up to this many numbers in a step's matrices, the kernels are faster on one core


class StepwiseRecurrence(SequenceModel):
    """The loop. A subclass defines the drive, the weights as a step uses them, the initial state, and a step."""

    @abstractmethod
    def drive(self, x_D: Tensor) -> Tensor:
        """Return what the input contributes to a step, (…, D) to (…, K)."""

    def weights(self) -> tuple[Tensor, ...]:
        """Return the weights that every step uses, in the form in which it uses them."""
        return ()

    @abstractmethod
    def initial_state(self, batch_size: int) -> State: ...

    @abstractmethod
    def advance(self, drive_BK: Tensor, state: State, *weights: Tensor) -> State:
        """Return the next state, whose first tensor is the output, (B, H)."""

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return self.every_output(self.drive(x_BTD))

    def every_output(self, drive_BTK: Tensor) -> Tensor:
        """Return the output of every step, (B, T, H)."""
        state = self.initial_state(len(drive_BTK))
        drive_BTK = drive_BTK.to(state[0].dtype)
        with full_precision(drive_BTK):
            weights = self.weights()
            match self.backend(drive_BTK, weights):
                case "numba":
                    return self.compiled(drive_BTK, *weights)
                case "triton":
                    return self.on_gpu(drive_BTK, *weights)
                case "torch":
                    return self.loop(drive_BTK, state, *weights)

    @torch.compiler.disable(recursive=False)  # torch.compile would unroll the whole sequence, a second a step
    def loop(self, drive_BTK: Tensor, state: State, *weights: Tensor) -> Tensor:
        """Return the output of every step from a state on, (B, T, H)."""
        outputs = []
        for drive_BSK in drive_BTK.split(COMPILED_STEPS, dim=1):
            state, *some = self.unrolled(drive_BSK, state, *weights)
            outputs += some
        return torch.stack(outputs, dim=1)

    def unrolled(self, drive_BSK: Tensor, state: State, *weights: Tensor) -> tuple[Any, ...]:
        """Run a few steps, as one graph of torch.compile. Return the last state and each output, (B, H)."""
        outputs = []
        for drive_BK in drive_BSK.unbind(1):
            state = self.advance(drive_BK, state, *weights)
            outputs.append(state[0])
        return state, *outputs

    def compiled(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        """Return what `loop` returns from the initial state, by a kernel for CPUs. Optional."""
        raise NotImplementedError(f"{type(self).__qualname__} has no kernel")

    def on_gpu(self, drive_BTK: Tensor, *weights: Tensor) -> Tensor:
        """Return the same by a kernel for GPUs. It is called only where `fits_registers` is true."""
        raise NotImplementedError(f"{type(self).__qualname__} has no kernel for GPUs")

    def fits_registers(self) -> bool:
        """Whether there is a kernel for GPUs and its matrices are small enough to stay in a program's registers."""
        return False

    def backend(self, tensor: Tensor, weights: tuple[Tensor, ...]) -> Backend:
        """Return what runs the loop: a kernel where there is one and it is faster.

        Where a step's matrices exceed the processor's cache, BLAS is faster.
        """
        if self.fits_registers() and loop_backend(tensor) == "triton":
            return "triton"
        exists = type(self).compiled is not StepwiseRecurrence.compiled
        fits = sum(weight.numel() for weight in weights) <= KERNEL_WEIGHTS
        return "numba" if exists and fits and runs_compiled(tensor) else "torch"

    def facts(self) -> dict[str, str]:
        return {"loop": self.backend(next(self.parameters()), self.weights())}

    def step(self, x_BD: Tensor, state: Any) -> tuple[Tensor, State]:
        drive_BK = self.drive(x_BD).to(state[0].dtype)
        with full_precision(x_BD):
            state = self.advance(drive_BK, state, *self.weights())
        return state[0], state

    def zeros(self, *shape: int) -> Tensor:
        return next(self.parameters()).new_zeros(shape)


def full_precision(like: Tensor) -> torch.autocast:
    """Turn autocast off, for a loop over time: a long recurrence would add up the rounding to bfloat16 of each step."""
    return torch.autocast(like.device.type, enabled=False)
