"""The golden files: how the model of each is built, what is known to differ from the authors' code, what we don't have.

A file or one of its entries is named `FILE` or `FILE:ENTRY`, with the wildcards of fnmatch.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from models.shared.authors_weights import PREFIX
from models.shared.contract import Place, SequenceModel
from tests.conftest import GOLDEN
from tests.papers.golden_networks import BareCell, ResidualStack, Stack

Arrays = dict[str, np.ndarray]
Line = TypeVar("Line")

LEM_BIAS = "ours has one bias, the sum of theirs: test_lem holds it against the file"

DIFFERS = {
    "lem_init:cell.inp2hid.bias": LEM_BIAS,
    "lem_init:cell.hid2hid.bias": LEM_BIAS,
    "lem_init:cell.transform_z.bias": LEM_BIAS,
    "rwkv7_init:output.weight": "ours starts small, not at zero, so that a gradient reaches the layer at once",
}
"""Strict expected failures. Whoever mends one deletes its line here and its deviation in the model's file."""

FIRST_VALUE = "v of the network's first layer, which a mixer does not see"

NO_SETTING = {"rwkv7_init:v[012]": FIRST_VALUE, "rwkv7_layer1": FIRST_VALUE}
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


def hippo(arrays: Arrays) -> dict[str, Any]:
    sizes = {"order": number(arrays, "memory_order"), "memory_size": number(arrays, "memory_size")}
    return plain(arrays) | sizes | {"gate": f"{PREFIX}W_gxm.W_g.weight" in arrays}


def hyena(arrays: Arrays) -> dict[str, Any]:
    sizes = {"order": "order", "filter_size": "filter_order", "features": "emb_dim"}
    settings = {ours: number(arrays, theirs) for ours, theirs in sizes.items()}
    return plain(arrays) | settings | {"learned_positions": True}


def mlstm(arrays: Arrays) -> dict[str, Any]:
    """The cell's file has no blocks, and its inner width is the output's."""
    inner = number(arrays, "inner") if "const/inner" in arrays else hidden(arrays)
    blocks = number(arrays, "qkv_block") if "const/qkv_block" in arrays else 1
    sizes = {"heads": number(arrays, "num_heads"), "multiple": inner, "block_size": blocks}
    return plain(arrays) | sizes | {"expansion": inner / hidden(arrays)}


def rg_lru(arrays: Arrays) -> dict[str, Any]:
    inner = len(arrays["param/rg_lru.a_param"])
    return plain(arrays) | {"expansion": inner / hidden(arrays), "block_size": inner // number(arrays, "num_heads")}


def s4d(arrays: Arrays) -> dict[str, Any]:
    return plain(arrays) | {"state_size": number(arrays, "d_state")}


def s5(arrays: Arrays) -> dict[str, Any]:
    conj_sym = bool((arrays["param/Lambda_im"] < 0).all())
    states = len(arrays["param/Lambda_re"]) * (2 if conj_sym else 1)
    return plain(arrays) | {"state_size": states, "blocks": number(arrays, "blocks"), "conj_sym": conj_sym}


def mamba2(arrays: Arrays) -> dict[str, Any]:
    sizes = {"state_size": "d_state", "conv_size": "d_conv", "head_size": "headdim", "expand": "expand"}
    settings = {ours: number(arrays, theirs) for ours, theirs in sizes.items()}
    return plain(arrays) | settings | {"ssm_size": number(arrays, "d_ssm"), "norm": f"{PREFIX}norm.weight" in arrays}


def mamba3(arrays: Arrays) -> dict[str, Any]:
    sizes = {"state_size": "d_state", "head_size": "headdim", "expand": "expand"}
    settings = {ours: number(arrays, theirs) for ours, theirs in sizes.items()}
    rotating = 2 * number(arrays, "num_rope_angles") / settings["state_size"]
    return plain(arrays) | settings | {"rope_fraction": rotating, "norm": f"{PREFIX}norm.weight" in arrays}


def expanded(arrays: Arrays) -> dict[str, Any]:
    return plain(arrays) | {"expansion": number(arrays, "expansion")}


def linoss(method: str) -> Callable[[Arrays], dict[str, Any]]:
    return lambda a: plain(a) | {"state_size": len(a["param/A_diag"]), "method": method}


def slice_cde(structure: str) -> Callable[[Arrays], dict[str, Any]]:
    def settings(arrays: Arrays) -> dict[str, Any]:
        sizes = {name: number(arrays, name) for name in ("block_size", "rank") if f"const/{name}" in arrays}
        return plain(arrays) | sizes | {"structure": structure, "step_size": number(arrays, "dt")}

    return settings


def gated_deltanet(arrays: Arrays) -> dict[str, Any]:
    values, heads = arrays[f"{PREFIX}o_proj.weight"].shape[1], number(arrays, "num_heads")
    head_size = arrays[f"{PREFIX}q_proj.weight"].shape[0] // heads
    sizes = {"num_heads": heads, "head_size": head_size, "expand_v": values // (heads * head_size)}
    settings = {"gate": f"{PREFIX}A_log" in arrays, "negative_eigenvalues": "const/beta_scale" in arrays}
    writes = {"householders": number(arrays, "num_householder")} if "const/num_householder" in arrays else {}
    return plain(arrays) | sizes | settings | writes


def gla(arrays: Arrays) -> dict[str, Any]:
    heads, width = number(arrays, "num_heads"), hidden(arrays)
    keys, values = len(arrays[f"{PREFIX}k_proj.weight"]), len(arrays[f"{PREFIX}v_proj.weight"])
    sizes = {"head_size": values // heads, "expand_k": keys / width, "expand_v": values / width}
    rank = {"gate_rank": number(arrays, "gate_low_rank_dim")} if "const/gate_low_rank_dim" in arrays else {}
    return plain(arrays) | sizes | rank


def rwkv7(arrays: Arrays) -> dict[str, Any]:
    ranks = {ours: len(arrays[f"{PREFIX}{name}2"]) for ours, name in (("decay", "w"), ("rate", "a"), ("gate", "g"))}
    return (
        plain(arrays)
        | {"head_size": number(arrays, "head_size")}
        | {f"{ours}_rank": rank for ours, rank in ranks.items()}
    )


CASES: dict[str, tuple[str, Callable[[Arrays], dict[str, Any]]]] = {
    "cornn": ("cornn", lambda a: plain(a) | {name: number(a, name) for name in ("dt", "gamma", "epsilon")}),
    "dlinoss_imex1": ("linoss", linoss("damped")),
    "deltanet": ("gated-deltanet", gated_deltanet),
    "deltanet_neg": ("gated-deltanet", gated_deltanet),
    "deltaproduct2": ("gated-deltanet", gated_deltanet),
    "exprnn": ("exprnn", plain),
    "exprnn_cayley": ("exprnn", lambda a: plain(a) | {"parametrization": "cayley"}),
    "fru_k1": ("fru", fru),
    "fru_k6": ("fru", fru),
    "gated_deltanet": ("gated-deltanet", gated_deltanet),
    "gated_deltanet_neg": ("gated-deltanet", gated_deltanet),
    "gated_deltaproduct2": ("gated-deltanet", gated_deltanet),
    "gla": ("gla", gla),
    "hippo": ("hippo", hippo),
    "hippo_legt": ("hippo", lambda a: hippo(a) | {"measure": "legt", "dt": number(a, "dt")}),
    "hippo_m2_nogate": ("hippo", hippo),
    "hippo_maxlen": ("hippo", lambda a: hippo(a) | {"max_length": number(a, "max_length")}),
    "hyena": ("hyena", hyena),
    "indrnn_bn_after": ("indrnn", lambda a: plain(a) | {"batch_norm": "after"}),
    "indrnn_bn_before": ("indrnn", lambda a: plain(a) | {"batch_norm": "before"}),
    "indrnn_recurrent_only": ("indrnn", lambda a: plain(a) | {"batch_norm": "none"}),
    "indrnn_residual": ("indrnn", lambda a: plain(a) | {"batch_norm": "after"}),
    "lem": ("lem", lambda a: plain(a) | {"dt": number(a, "dt")}),
    "linoss_im": ("linoss", linoss("im")),
    "linoss_imex": ("linoss", linoss("imex")),
    "linear_attn": ("gla", lambda a: gla(a) | {"decay": "none"}),
    "lmu": ("lmu", lambda a: plain(a) | {"order": number(a, "order"), "theta": number(a, "theta")}),
    "lru": ("lru", lambda a: plain(a) | {"state_size": len(a["param/nu_log"])}),
    "mamba": (
        "mamba",
        lambda a: (
            plain(a)
            | {"state_size": number(a, "d_state"), "conv_size": number(a, "d_conv"), "expand": number(a, "expand")}
        ),
    ),
    "mamba2": ("mamba2", mamba2),
    "mamba2_d_ssm": ("mamba2", mamba2),
    "mamba2_nonorm": ("mamba2", mamba2),
    "mamba3": ("mamba3", mamba3),
    "mamba3_rope1_norm": ("mamba3", mamba3),
    "mingru": ("mingru", expanded),
    "mingru_expand": ("mingru", expanded),
    "minlstm": ("minlstm", expanded),
    "minlstm_expand": ("minlstm", expanded),
    "retnet": ("gla", lambda a: gla(a) | {"decay": "fixed"}),
    "rwkv7": ("rwkv7", rwkv7),
    "mlstm": ("mlstm", mlstm),
    "mlstm_cell": ("mlstm", mlstm),
    "rglru": ("rg-lru", rg_lru),
    "rglru_block": ("rg-lru", rg_lru),
    "s4_block_diag": ("s4d", s4d),
    "s4_dplr": ("s4", s4d),
    "s4d": ("s4d", s4d),
    "s4d_full_bilinear": ("s4d", lambda a: s4d(a) | {"init": "legs", "discretisation": "bilinear"}),
    "s4d_full_legs": ("s4d", lambda a: s4d(a) | {"init": "legs"}),
    "s5": ("s5", s5),
    "s5_bilinear_noconj": ("s5", lambda a: s5(a) | {"discretisation": "bilinear"}),
    "slice_block": ("slice", slice_cde("block")),
    "slice_dense": ("slice", slice_cde("dense")),
    "slice_diag": ("slice", slice_cde("block")),
    "slice_dplr": ("slice", slice_cde("dplr")),
    "slice_residual_block": ("slice", slice_cde("block")),
    "slice_wh": ("slice", slice_cde("hadamard")),
    "slstm": ("slstm", lambda a: plain(a) | {"heads": number(a, "num_heads")}),
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

BEFORE_GELU = {
    "dlinoss_imex1",
    "linoss_im",
    "linoss_imex",
    "lru",
    "s4_dplr",
    "s4d_full_bilinear",
    "s4d_full_legs",
    "s5",
    "s5_bilinear_noconj",
}
"""Files whose y is that of the bare layer, before the GELU in which our layers end."""

GATED = {"s4_block_diag", "s4d"}
"""Files whose y is that of the layer's block: a linear map and a gated unit after the GELU, which our wrapper has."""

RESIDUAL = {"slice_residual_block"}
"""Files whose y is that of the layer's block: v = layer(x) + x, then LayerNorm(v + tanh(W v + b))."""


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
    if name in RESIDUAL:
        return {key.replace("/LCDE.", "/"): values for key, values in arrays.items()}
    if name == "indrnn_recurrent_only":  # its x is what the recurrence takes, so that the linear map is the identity
        fc = {"fc.weight": np.eye(hidden(arrays)), "fc.bias": np.zeros(hidden(arrays))}
        arrays = {key.replace("/indrnn_cell", "/RNNs.0.indrnn1.indrnn_cell"): values for key, values in arrays.items()}
        return arrays | {f"{PREFIX}DIs.0.{key}": values for key, values in fc.items()}
    if name == "rglru":
        return in_its_block(arrays)
    return arrays


def in_its_block(arrays: Arrays) -> Arrays:
    """Put the bare RG-LRU into a block around it that passes everything through: its gate is 1/g of a constant g."""
    size = hidden(arrays)
    g = torch.nn.functional.gelu(torch.ones((), dtype=torch.float64), approximate="tanh").item()
    eye, zeros = np.eye(size), np.zeros(size)
    around = {"linear_x.weight": eye, "linear_y.weight": 0 * eye, "linear_out.weight": eye / g, "conv_1d.b": zeros}
    biases = {"linear_x.bias": zeros, "linear_y.bias": zeros + 1, "linear_out.bias": zeros}
    conv = {"conv_1d.w": np.stack([zeros, zeros, zeros, zeros + 1])}  # the present input only
    renamed = {re.sub(r"^(param|grad_all)/(a_param|.*_gate)", r"\1/rg_lru.\2", key): v for key, v in arrays.items()}
    return renamed | {f"{PREFIX}{key}": values for key, values in (around | biases | conv).items()}


def build(name: str, arrays: Arrays) -> Any:
    """Return the model of a file, with its weights, in its precision."""
    model_name, settings = CASES[name]
    cls = find_model(model_name).cls
    sizes, (_, seq_len, input_size) = settings(arrays), arrays["x"].shape
    dtype = torch.from_numpy(arrays["x"]).dtype

    def layer(width: int, k: int, count: int) -> SequenceModel:
        place = Place(input_size=width, seq_len=seq_len, layer=k, layers=count)
        made = cls(cls.Config(**sizes), **place).to(dtype)
        if model_name == "indrnn":
            made.bound = (
                math.inf
            )  # the authors' training bounds u, their layer does not, and the files have larger ones
        return made

    with precision(dtype):
        model = network(arrays, input_size, layer)
    model.load_authors_weights(arrays)
    return model


def network(arrays: Arrays, input_size: int, layer: Callable[[int, int, int], SequenceModel]) -> Any:
    """Return a layer or several, each built by `layer` from its input's width, its number and how many there are."""
    width = hidden(arrays)
    if f"{PREFIX}igate.bias" in arrays:
        return BareCell(layer(width, 0, 1))
    if "const/blocks" in arrays and "param/fc0.fc.weight" in arrays:
        blocks = number(arrays, "blocks")
        count = 2 * blocks + 1
        return ResidualStack([layer(width, k, count) for k in range(count)], [input_size, *[width] * blocks])
    count = number(arrays, "layers") if "const/layers" in arrays else 1
    stack = [layer(width if k else input_size, k, count) for k in range(count)]
    return stack[0] if count == 1 else Stack(stack)


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
