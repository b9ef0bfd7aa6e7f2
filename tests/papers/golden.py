"""The golden files: how the model of each is built, what is known to differ from the authors' code, what we don't have.

A file or one of its entries is named `FILE` or `FILE:ENTRY`, with the wildcards of fnmatch.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.catalog.registry import find_model
from models.shared.authors_weights import PREFIX, AuthorsWeights
from models.shared.contract import SequenceModel
from tests.conftest import GOLDEN

Arrays = dict[str, np.ndarray]
Line = TypeVar("Line")

HIPPO = "to be mended: our cell is another one, in which the gate and candidate read h and the old memory"
NORM = "to be mended: our layer has no BatchNorm"
POSITIVE = "to be mended: ours lacks the authors' g, which keeps the candidate positive"

DIFFERS = {
    "hippo": HIPPO,
    "hippo_init:W_*": HIPPO,
    "indrnn_bn_after": NORM,
    "indrnn_init:RNNs.*.norm1.bn.*": NORM,
    "indrnn_init:DIs.*.fc.weight": "to be mended: ours are uniform up to 1/√D, theirs up to 0.304/√D",
    "indrnn_init:DIs.*.fc.bias": "to be mended: ours are uniform up to 1/√D, theirs 0",
    "indrnn_init:RNNs.*.weight_hh": "to be mended: ours start up to 1, theirs up to 5^{1/T}",
    "indrnn_init:fact/U_bound*": "to be mended: our bound is 2^{1/T}, theirs 5^{1/T}",
    "lem_init:cell.hid2hid.bias": "ours has one bias where theirs add two",
    "lem_init:cell.transform_z.bias": "ours has one bias where theirs add two",
    "lru_init:C_*": "to be mended: the parts of our C are smaller by √2",
    "mingru": POSITIVE,
    "minlstm": POSITIVE,
    "s4d_full_legs_init:kernel.B": "to be mended: our B is 1",
    "s5_*_init:B": "to be mended: our B before V has variance 1/H, theirs 1/P",
    "s5_truncnormal_init:C": "to be mended: our C before V is real, so its parts are smaller by √2",
    "sru_init:*/Matrix": "to be mended: ours starts as the FRU does, theirs from Glorot's uniform",
    "tcn_init:network.0.downsample.weight": "to be mended: ours is uniform up to 1/√D, theirs N(0, 0.01²)",
}
"""Strict expected failures. Whoever mends one deletes its line here and its deviation in the model's file."""

NO_SETTING = {
    "exprnn_cayley": "expRNN's matrix is the exponential; Cayley's map is another parametrisation",
    "hippo_maxlen": "the time of the memory has no cap",
    "hippo_m2_nogate": "one memory, and always a gate",
    "hippo_legt": "LegS only",
    "indrnn_bn_before": "no BatchNorm",
    "indrnn_residual": "no BatchNorm; residual blocks belong to the wrapper",
    "indrnn_residual_init": "no BatchNorm; residual blocks belong to the wrapper",
    "mingru_expand": "no expansion",
    "minlstm_expand": "no expansion",
    "s4d_full_bilinear": "zero-order hold only",
    "s5_bilinear_noconj": "zero-order hold and conjugate pairs only",
    "s5_lecun_init:C": "one way to start C",
    "s5_complexnormal_init:C": "one way to start C",
}
"""What a file shows and no setting of ours does. Such files are skipped with the reason."""


def hidden(arrays: Arrays) -> int:
    return arrays["y"].shape[-1]


def number(arrays: Arrays, name: str) -> Any:
    return arrays[f"const/{name}"].item()


def statistical(cell: str, arrays: Arrays) -> dict[str, Any]:
    sizes = {"stat_size": "stats", "recur_size": "recur_feats", "output_size": "output"}
    return {ours: len(arrays[f"param/rnn/{cell}/{theirs}/Bias"]) for ours, theirs in sizes.items()}


def plain(arrays: Arrays) -> dict[str, Any]:
    return {"hidden_size": hidden(arrays)}


def fru(arrays: Arrays) -> dict[str, Any]:
    return statistical("FRUCell", arrays) | {"freqs": tuple(arrays["freqs"].tolist())}


def s4d(arrays: Arrays) -> dict[str, Any]:
    return plain(arrays) | {"state_size": number(arrays, "d_state")}


CASES: dict[str, tuple[str, Callable[[Arrays], dict[str, Any]]]] = {
    "cornn": ("cornn", lambda a: plain(a) | {name: number(a, name) for name in ("dt", "gamma", "epsilon")}),
    "exprnn": ("exprnn", plain),
    "fru_k1": ("fru", fru),
    "fru_k6": ("fru", fru),
    "hippo": ("hippo", lambda a: plain(a) | {"order": number(a, "memory_order")}),
    "indrnn_bn_after": ("indrnn", plain),
    "indrnn_recurrent_only": ("indrnn", plain),
    "lem": ("lem", lambda a: plain(a) | {"dt": number(a, "dt")}),
    "lmu": ("lmu", lambda a: plain(a) | {"order": number(a, "order"), "theta": number(a, "theta")}),
    "lru": ("lru", lambda a: plain(a) | {"state_size": len(a["param/nu_log"])}),
    "mamba": (
        "mamba",
        lambda a: (
            plain(a)
            | {"state_size": number(a, "d_state"), "conv_size": number(a, "d_conv"), "expand": number(a, "expand")}
        ),
    ),
    "mingru": ("mingru", plain),
    "minlstm": ("minlstm", plain),
    "s4_block_diag": ("s4d", s4d),
    "s4d": ("s4d", s4d),
    "s4d_full_legs": ("s4d", s4d),
    "s5": ("s5", lambda a: plain(a) | {"state_size": 2 * len(a["param/Lambda_re"]), "blocks": number(a, "blocks")}),
    "sru": (
        "sru",
        lambda a: statistical("SimpleSRUCell", a) | {"decays": tuple(a["alphas"].tolist())},
    ),
    "tcn": (
        "tcn",
        lambda a: plain(a) | {"kernel_size": number(a, "kernel_size"), "blocks": len(a["const/channels"])},
    ),
}
"""The model of each file of outputs and its settings."""

BEFORE_GELU = {"lru", "s4d_full_legs", "s5"}
"""Files whose y is that of the bare layer, before the GELU in which our layers end."""

GATED = {"s4_block_diag", "s4d"}
"""Files whose y is that of the layer's block: a linear map and a gated unit after the GELU, which our wrapper has."""


def load(name: str, folder: Path = GOLDEN) -> Arrays:
    """Return the content of a file. A folder without it is a skip."""
    path = folder / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{folder} has no {path.name}")
    with np.load(path) as file:
        return single_layer(name, dict(file))


def single_layer(name: str, arrays: Arrays) -> Arrays:
    """Name the parameters as the layer alone does, where a file holds it inside another module or without a part."""
    if name == "s4_block_diag":
        return {key.replace("/layer.", "/"): values for key, values in arrays.items()}
    if name == "indrnn_recurrent_only":  # its x is what the recurrence takes, so that the linear map is the identity
        fc = {"fc.weight": np.eye(hidden(arrays)), "fc.bias": np.zeros(hidden(arrays))}
        arrays = {key.replace("/indrnn_cell", "/RNNs.0.indrnn1.indrnn_cell"): values for key, values in arrays.items()}
        return arrays | {f"{PREFIX}DIs.0.{key}": values for key, values in fc.items()}
    return arrays


def build(name: str, arrays: Arrays) -> Any:
    """Return the model of a file, with its weights, in its precision."""
    model_name, settings = CASES[name]
    cls = find_model(model_name).cls
    sizes, (_, seq_len, input_size) = settings(arrays), arrays["x"].shape
    dtype = torch.from_numpy(arrays["x"]).dtype
    with precision(dtype):
        widths = [input_size] + [hidden(arrays)] * (layers(arrays) - 1)
        stack = [cls(cls.Config(**sizes), input_size=width, seq_len=seq_len).to(dtype) for width in widths]
    model = stack[0] if len(stack) == 1 else Stack(stack)
    model.load_authors_weights(arrays)
    return model


def layers(arrays: Arrays) -> int:
    return number(arrays, "layers") if "const/layers" in arrays else 1


class Stack(nn.Module):
    """Layers one after the other, whose parameters have the layer's number in the first part of their names."""

    def __init__(self, stack: list[SequenceModel]) -> None:
        super().__init__()
        self.stack = nn.ModuleList(stack)

    def forward(self, x_BTD: Tensor) -> Tensor:
        for layer in self.stack:
            x_BTD = layer(x_BTD)
        return x_BTD

    def last(self, x_BTD: Tensor) -> Tensor:
        return self(x_BTD)[:, -1]

    def is_recurrent(self) -> bool:
        return all(layer.is_recurrent() for layer in self.stack)

    def initial_state(self, batch_size: int) -> list[Any]:
        return [layer.initial_state(batch_size) for layer in self.stack]

    def step(self, x_BD: Tensor, state: list[Any]) -> tuple[Tensor, list[Any]]:
        after = []
        for layer, before in zip(self.stack, state, strict=True):
            x_BD, next_state = layer.step(x_BD, before)
            after.append(next_state)
        return x_BD, after

    def of_layer(self, arrays: dict[str, Any], k: int) -> dict[str, Any]:
        return {key.replace(f"s.{k}.", "s.0."): values for key, values in arrays.items() if f"s.{k}." in key}

    def load_authors_weights(self, arrays: dict[str, Any]) -> None:
        for k, layer in enumerate(self.stack):
            layer.load_authors_weights(self.of_layer(arrays, k))

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        ours = {}
        for k, layer in enumerate(self.stack):
            alone = layer.from_authors(AuthorsWeights(self.of_layer(authors.arrays, k), authors.device))
            ours |= {f"stack.{k}.{name}": values for name, values in alone.items()}
        return ours


@contextmanager
def precision(dtype: torch.dtype) -> Iterator[None]:
    """Build layers whose constants have this precision too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def marks(name: str) -> list[pytest.MarkDecorator]:
    """Return how a test of a file, or of an entry of it, is expected to end."""
    if reason := line_of(name, NO_SETTING):
        return [pytest.mark.skip(reason=f"no setting of ours: {reason}")]
    if reason := line_of(name, DIFFERS):
        return [pytest.mark.xfail(strict=True, raises=(AssertionError, NotImplementedError), reason=reason)]
    return []


def line_of(name: str, table: Mapping[str, Line]) -> Line | None:
    """Return the table's line for a file or an entry. A file's line is for each of its entries."""
    candidates = (name, name.partition(":")[0])
    return next((line for key, line in table.items() if any(fnmatchcase(each, key) for each in candidates)), None)
