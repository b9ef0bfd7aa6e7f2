"""Solve the FRU parallel in time: count the sweeps over the whole sequence, and time them against the recurrence.

    python benchmarks/fru_parallel.py [--device cuda] [--tasks digits,fashion] [--batch 16]

A sweep is a step of Picard's iteration on all time steps at once: it computes the running sums s from a guess of φ, r
from s, and φ again from r (docs/fru-kernel.md has the recurrence). After k sweeps the first k time steps are exact. How
soon the others are exact depends on the strength of the recurrent map. It does not depend on the number of time steps,
because the unit divides the map by T. The backward pass is the transposed linear recurrence, solved in the same way.
(DEER, Lim et al. 2024, takes Newton's step instead.)

The script prints, for an untrained layer of the paper's size at several lengths and for trained networks on validation
data:

- the sweeps until φ, and its gradient, move by less than 1e-6 of their largest value;
- how far both then are from the results of the recurrence and of autograd (where rounding opens or closes a unit, the
  gradient jumps);
- the time of the sweeps, divided by the time of the recurrence.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.catalog.registry import find_model
from bench.catalog.suites import find_suite
from bench.probe.networks import trained_network
from bench.runs.request import Execution
from bench.training.run import run
from bench.training.suite_runs import first_request
from db.store import Store
from models.fru import FRU
from models.shared.contract import SequenceModel

SHAPES = ((784, 256), (4_096, 64), (16_384, 32))  # steps and sequences
CELLS = (("quick-v2", "10k", False), ("gpu-v1", "100k", False))
"""Where to look for a trained network's task: suite, tier of parameters, whether with tuned settings."""
TOLERANCE = 1e-6
TURNS = 5
SEED = 1  # for trained networks: with seed 0 all statistics of the mix-sin network are dead, with nothing to solve


@dataclass(frozen=True)
class Recurrence:
    """φ_t = σ(z_t + r_t W), r_t = σ(s_t + φ_{t−1} D + b), s_t = Σ_{τ<t} φ_τ A_τ.

    Shapes: B batch, T time, S statistics, R recurrent features.
    """

    z_TBS: Tensor
    a_TSR: Tensor
    d_SR: Tensor
    weight_RS: Tensor
    bias_R: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, layer: FRU, x_BTD: Tensor) -> "Recurrence":
        _, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S = layer.operands(x_BTD)
        inputs = x_BTD.shape[2]
        return cls(
            z_TBS=F.linear(x_BTD.transpose(0, 1), weight_SZ[:, :inputs], bias_S),
            a_TSR=torch.einsum("tk,ksr->tsr", gain_Tk * keep_k, weight_kSR),
            d_SR=torch.einsum("k,ksr->sr", gain_Tk[0] * (1 - keep_k), weight_kSR),
            weight_RS=weight_SZ[:, inputs:].T.contiguous(),
            bias_R=bias_R,
        )

    def features(self, phi_TBS: Tensor) -> Tensor:
        """Return r for a guess of φ."""
        s_TBR = later(torch.bmm(phi_TBS, self.a_TSR).cumsum(0)) + later(phi_TBS @ self.d_SR)
        return torch.relu(s_TBR + self.bias_R)

    def sweep(self, phi_TBS: Tensor) -> Tensor:
        return torch.relu(self.z_TBS + self.features(phi_TBS) @ self.weight_RS)

    def start(self) -> Tensor:
        return torch.relu(self.z_TBS + torch.relu(self.bias_R) @ self.weight_RS)

    def one_by_one(self) -> list[Tensor]:
        s_BR = torch.zeros(self.z_TBS.shape[1], len(self.bias_R), device=self.z_TBS.device)
        r_BR, phi = torch.relu(s_BR + self.bias_R), []
        for z_BS, a_SR in zip(self.z_TBS, self.a_TSR, strict=True):
            phi.append(torch.relu(z_BS + r_BR @ self.weight_RS))
            s_BR = s_BR + phi[-1] @ a_SR
            r_BR = torch.relu(s_BR + phi[-1] @ self.d_SR + self.bias_R)
        return phi


def adjoint(forward: Recurrence, phi_TBS: Tensor, g_TBS: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the sweep whose fixed point is the gradient of Σ g ⊙ φ by φ: dφ = g + Jᵀ dφ, J the Jacobian of a sweep."""
    transposed = torch.func.vjp(forward.sweep, phi_TBS)[1]
    return lambda dphi_TBS: g_TBS + transposed(dphi_TBS)[0]


def later(x_TBN: Tensor) -> Tensor:
    """Shift by one step: x_{t−1} at t, 0 at the first step."""
    return F.pad(x_TBN[:-1], (0, 0, 0, 0, 1, 0))


def solve(sweep: Callable[[Tensor], Tensor], guess: Tensor) -> tuple[Tensor, int]:
    """Return the fixed point, and the number of sweeps after which nothing moved any more."""
    for count in range(1, len(guess) + 1):
        found = sweep(guess)
        if distance(found, guess) <= TOLERANCE:
            return found, count
        guess = found
    return guess, len(guess)


def distance(a: Tensor, b: Tensor) -> float:
    """Return the largest difference, relative to the largest value of b; 0 where both are 0."""
    return ((a - b).abs().max() / b.abs().max().clamp_min(torch.finfo(b.dtype).tiny)).item()


def untrained(steps: int, batch: int, device: torch.device) -> tuple[FRU, Tensor]:
    torch.manual_seed(0)
    return FRU(FRU.Config(), input_size=1, seq_len=steps).to(device), torch.randn(batch, steps, 1, device=device)


def trained(task: str, batch: int, device: torch.device, store: Store) -> tuple[FRU, Tensor]:
    """Run a suite's cell again. Return its layer, and the layer's input for the first validation sequences."""
    suite, tier, preset = next(each for each in CELLS if task in find_suite(each[0]).tasks)
    request = replace(
        first_request(find_suite(suite), find_model("fru"), task, tier, "plain", preset=preset), seed=SEED
    )
    run(request, store, Execution(accelerator=device.type))
    network = trained_network(request, store)
    (layer,) = network.to(device).mixers()
    assert isinstance(layer, FRU)
    data = request.task.build(with_tests=False)
    samples = data.decode(data.split("validation").gather(torch.arange(batch)))
    return layer, given_to(layer, lambda: network(samples.x.to(device)))


def given_to(layer: FRU, act: Callable[[], object]) -> Tensor:
    """Return the layer's input while `act` runs."""
    seen: list[Tensor] = []
    layer.check = lambda x_BTD, lengths_B: seen.append(x_BTD)  # type: ignore[method-assign]
    with torch.no_grad():
        act()
    del layer.check
    return seen[0]


def seconds(act: Callable[[], object], device: torch.device) -> float:
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    turns = []
    for _ in range(TURNS + 1):
        synchronize()
        began = time.perf_counter()
        act()
        synchronize()
        turns.append(time.perf_counter() - began)
    return median(turns[1:])


def fused(layer: SequenceModel, x_BTD: Tensor) -> Callable[[], object]:
    """Return a forward and backward pass through the layer's own kernel, for the last step's output."""
    return lambda: layer.last(x_BTD).sum().backward()


def in_sweeps(forward: Recurrence, g_TBS: Tensor) -> Callable[[], object]:
    def act() -> None:
        phi_TBS, _ = solve(forward.sweep, forward.start())
        solve(adjoint(forward, phi_TBS, g_TBS), g_TBS)

    return act


def report(name: str, layer: FRU, x_BTD: Tensor) -> None:
    device, forward = x_BTD.device, Recurrence.of(layer, x_BTD)
    phi_TBS, sweeps = solve(forward.sweep, forward.start())
    if not phi_TBS.isfinite().all():
        print(f"{name:24} {x_BTD.shape[1]:6} {len(x_BTD):4} guesses overflow: no fixed point is reached", flush=True)
        return
    g_TBS = torch.randn(phi_TBS.shape, generator=torch.Generator().manual_seed(1)).to(device)
    dphi_TBS, back = solve(adjoint(forward, phi_TBS, g_TBS), g_TBS)
    off, off_back = differences(forward, phi_TBS, dphi_TBS, g_TBS)
    ratio = seconds(in_sweeps(forward, g_TBS), device) / seconds(fused(layer, x_BTD), device)
    steps, batch = x_BTD.shape[1], len(x_BTD)
    print(f"{name:24} {steps:6} {batch:4} {sweeps:7} {back:4} {off:9.0e} {off_back:9.0e} {ratio:7.2f}", flush=True)


def differences(forward: Recurrence, phi_TBS: Tensor, dphi_TBS: Tensor, g_TBS: Tensor) -> tuple[float, float]:
    """Return how far φ and its gradient are from the results of the recurrence and autograd."""
    forward.bias_R.requires_grad_()  # so that autograd keeps every φ
    phi = forward.one_by_one()
    dphi = torch.autograd.grad((torch.stack(phi) * g_TBS).sum(), phi)
    return distance(phi_TBS, torch.stack(phi)), distance(dphi_TBS, torch.stack(dphi))


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, help="sequences, in place of 256, 64, 32 and 64")
    parser.add_argument("--tasks", default="digits,copy-100,mix-sin", help="of the trained networks")
    options = parser.parse_args(words)
    device = torch.device(options.device)
    print(f"{'network':24} {'T':>6} {'B':>4} {'forward':>7} {'back':>4} {'off':>9} {'off back':>9} {'time':>7}")
    for steps, batch in SHAPES:
        report("untrained", *untrained(steps, options.batch or batch, device))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"{folder}/board.sqlite")
        for task in options.tasks.split(","):
            report(f"trained on {task}", *trained(task, options.batch or 64, device, store))


if __name__ == "__main__":
    main()
