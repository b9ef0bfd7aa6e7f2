"""The contract notices what it is for: each broken model fails the check that names its fault."""

import inspect
import re
from dataclasses import dataclass, replace

import pytest
import torch

from bench.common.root import ROOT
from bench.contributing.rules import RULES, check_model
from models.fru import FRU
from models.mingru import MinGRU
from models.shared.contract import SequenceModel, final_step
from models.shared.wrappers import WRAPPERS, Plain, Residual


class Anticausal(MinGRU):
    """Reads backwards."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD.flip(1)).flip(1)


class SeesPadding(MinGRU):
    """Adds the mean over the whole row."""

    causal = False

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD) + x_BTD.mean((1, 2), keepdim=True)


class NormalisesPadding(MinGRU):
    """Takes statistics over padding too, in training."""

    def __init__(self, config, **place):
        super().__init__(config, **place)
        self.norm = torch.nn.BatchNorm1d(self.output_size)

    def forward(self, x_BTD, lengths_B=None):
        return self.norm(super().forward(x_BTD).transpose(1, 2)).transpose(1, 2)

    def last(self, x_BTD, lengths_B=None):
        return final_step(self(x_BTD), lengths_B)


class WrongLast(MinGRU):
    """Returns the step before."""

    def last(self, x_BTD, lengths_B=None):
        return final_step(self(x_BTD), lengths_B) * 1.01


class WrongStep(MinGRU):
    """Forgets its state."""

    def step(self, x_BD, state):
        return super().step(x_BD, 0 * state)


class WrongShape(MinGRU):
    """Puts time first."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD).transpose(0, 1)


class NoGradient(MinGRU):
    """Cuts the graph."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD.detach())

    def last(self, x_BTD, lengths_B=None):
        return super().last(x_BTD.detach(), lengths_B)


class Unsaved(MinGRU):
    """Keeps a random matrix out of its state."""

    def __init__(self, config, **place):
        super().__init__(config, **place)
        self.secret_H = torch.randn(self.output_size)

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD) * self.secret_H


class Float32Only(MinGRU):
    """Casts its input."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD.float())


class LeftBehind(MinGRU):
    """Keeps a constant that is no buffer."""

    def __init__(self, config, **place):
        super().__init__(config, **place)
        self.constants = {"scale": torch.ones(self.output_size)}

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD) * self.constants["scale"]


class OnTheHost(MinGRU):
    """Makes a tensor without saying where."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD) * torch.ones(x_BTD.shape[1], 1)


class OnAFixedDevice(MinGRU):
    """Names the host's memory."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD) @ torch.eye(self.output_size, device="cpu", dtype=x_BTD.dtype)


class ThroughTheHost(MinGRU):
    """Takes its input to the host and back."""

    def last(self, x_BTD, lengths_B=None):
        return super().last(x_BTD.cpu().to(x_BTD.device), lengths_B)


class ToAGPU(MinGRU):
    """Moves its input to where it was written."""

    def last(self, x_BTD, lengths_B=None):
        return super().last(x_BTD.to("cuda:0") if x_BTD.device.type != "cpu" else x_BTD, lengths_B)


class MakesParameters(MinGRU):
    """Draws weights in forward, where the input is."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD) * torch.nn.Parameter(torch.randn(self.output_size, device=x_BTD.device))


class MakesItsReadout(MinGRU):
    """Registers a map when it is first called."""

    def last(self, x_BTD, lengths_B=None):
        if not hasattr(self, "readout"):
            self.readout = torch.nn.Linear(self.output_size, self.output_size, device=x_BTD.device)
        return self.readout(super().last(x_BTD, lengths_B))


class Overflows(MinGRU):
    """Takes the exponential of what it reads."""

    def last(self, x_BTD, lengths_B=None):
        return super().last(x_BTD, lengths_B) * x_BTD.amax((1, 2)).exp().unsqueeze(-1)


class Unbounded(MinGRU):
    """Has scales that a few steps make infinite."""

    def __init__(self, config, **place):
        super().__init__(config, **place)
        self.log_scale_H = torch.nn.Parameter(torch.zeros(self.output_size))

    def last(self, x_BTD, lengths_B=None):
        return super().last(x_BTD, lengths_B) * (300 * self.log_scale_H).exp()


class Frozen(MinGRU):
    """Optimises somebody else's parameter."""

    def optimizer_groups(self):
        return [{"params": [torch.nn.Parameter(torch.zeros(1))]}]


class UnknownSetting(MinGRU):
    """Searches over what it does not have."""

    @classmethod
    def search_space(cls, trial):
        return {"heads": trial.suggest_int("heads", 1, 4)}


class OneStatistic(FRU):
    """Starts with its only statistic dead, one time in two."""

    @dataclass(frozen=True, kw_only=True)
    class Config(FRU.Config):
        units = ()

        @classmethod
        def at_width(cls, width):
            return replace(super().at_width(width), stat_size=1, recur_size=width)


class Undescribed(SequenceModel):
    """Has no paper."""


@pytest.mark.parametrize(
    ("model", "check"),
    [
        (Anticausal, "causal"),
        (SeesPadding, "lengths"),
        (NormalisesPadding, "lengths"),
        (WrongLast, "last"),
        (WrongStep, "step"),
        (WrongShape, "shapes"),
        (NoGradient, "gradients"),
        (Unsaved, "saves"),
        (Float32Only, "float64"),
        (LeftBehind, "devices"),
        (OnTheHost, "devices"),
        (OnAFixedDevice, "devices"),
        (ThroughTheHost, "devices"),
        (ToAGPU, "devices"),
        (MakesParameters, "parameters"),
        (MakesItsReadout, "parameters"),
        (Overflows, "large-inputs"),
        (Unbounded, "large-rate"),
        (Frozen, "optimizer-groups"),
        (UnknownSetting, "search-space"),
        (OneStatistic, "alive"),
        (Undescribed, "described"),
    ],
)
def test_a_broken_model_fails_its_check(model, check):
    finding = RULES[check].run(model)
    assert finding is not None
    assert finding.check == check
    assert finding.problem
    assert finding.mend


def test_the_line_that_names_a_device_is_named(monkeypatch):
    monkeypatch.chdir(ROOT)
    line = inspect.getsourcelines(OnAFixedDevice.forward)[1] + 1
    place = f"tests/bench/contributing/test_rules.py:{line}"
    finding = RULES["devices"].run(OnAFixedDevice)
    assert finding.problem == f"{place}: it names the device cpu, whatever the input's device is"


class Crashes(MinGRU):
    """Adds what does not fit."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD) + torch.ones(7, 5)

    def last(self, x_BTD, lengths_B=None):
        return self.forward(x_BTD)[:, -1]


def test_a_crash_is_reported_once_with_file_and_line(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = {name: finding for name, finding in check_model(Crashes) if finding}
    place = f"tests/bench/contributing/test_rules.py:{inspect.getsourcelines(Crashes.forward)[1] + 1}"
    first, *others = found.values()
    assert first.problem.startswith(f"{place}: RuntimeError: The size of tensor a (8) must match")
    assert first.check == "shapes"
    assert {"causal", "devices", "learns"} < found.keys()
    assert {finding.problem for finding in others} == {"ended by the error that shapes reports"}
    assert {finding.place for finding in found.values()} == {place}


def test_a_share_of_dead_starts_is_named():
    finding = RULES["alive"].run(OneStatistic)
    assert re.match(r"(4|5)\d% of 100 networks of 10k in the plain wrapper are dead at the start", finding.problem)


class StartsAgain(Residual):
    """Draws every linear map once more."""

    def __init__(self, *parts):
        super().__init__(*parts)
        for module in self.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(module.weight)


class Counts(Plain):
    """Changes a buffer."""

    def __init__(self, *parts):
        super().__init__(*parts)
        for mixer in self.mixers():
            for buffer in mixer.buffers():
                buffer.add_(1)


@pytest.mark.parametrize(
    ("wrapper", "changed"),
    [(StartsAgain, "recur_feats.weight, stats.weight, output.weight"), (Counts, "freqs_k")],
)
def test_a_wrapper_that_changes_a_mixers_start_is_found(monkeypatch, wrapper, changed):
    assert RULES["start-kept"].run(FRU) is None
    monkeypatch.setitem(WRAPPERS, wrapper.name, wrapper)
    assert RULES["start-kept"].run(FRU).problem == f"the {wrapper.name} wrapper changes {changed} of the mixer's start"
