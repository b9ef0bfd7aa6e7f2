"""Networks of several layers, for the golden files that hold an authors' network. Shapes: B batch, T time, D input."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.mlstm import MLSTM, cell_from_authors
from models.shared.authors_weights import PREFIX, AuthorsWeights, copy_into
from models.shared.contract import SequenceModel

Run = Callable[[int, Tensor], Tensor]
"""Runs the layer of a number, on all steps or on one."""


class Stack(nn.Module):
    """Layers one after the other."""

    def __init__(self, stack: list[SequenceModel]) -> None:
        super().__init__()
        self.stack = nn.ModuleList(stack)

    def through(self, x_D: Tensor, run: Run) -> Tensor:
        for k in range(len(self.stack)):
            x_D = run(k, x_D)
        return x_D

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.through(x_BTD, lambda k, v_BTH: self.stack[k](v_BTH))

    def last(self, x_BTD: Tensor) -> Tensor:
        return self(x_BTD)[:, -1]

    def is_recurrent(self) -> bool:
        return all(layer.is_recurrent() for layer in self.stack)

    def initial_state(self, batch_size: int) -> list[Any]:
        return [layer.initial_state(batch_size) for layer in self.stack]

    def step(self, x_BD: Tensor, state: list[Any]) -> tuple[Tensor, list[Any]]:
        after = list(state)

        def run(k: int, v_BH: Tensor) -> Tensor:
            y_BH, after[k] = self.stack[k].step(v_BH, state[k])
            return y_BH

        return self.through(x_BD, run), after

    def load_authors_weights(self, arrays: dict[str, Any]) -> None:
        copy_into(self, self.from_authors(AuthorsWeights(arrays, torch.device("cpu"))))

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        ours = [(f"stack.{k}", layer.from_authors(authors)) for k, layer in enumerate(self.stack)]
        return {f"{prefix}.{name}": values for prefix, layer in ours for name, values in layer.items()}


class BareCell(nn.Module):
    """The mLSTM's cell alone, whose input is q, k and v side by side.

    Args:
        layer: an mLSTM of the cell's size. Its other parts are left out.
    """

    def __init__(self, layer: MLSTM) -> None:
        super().__init__()
        self.cell = layer.cell

    def forward(self, x_BT3I: Tensor) -> Tensor:
        y_BTI: Tensor = self.cell.norm(self.cell(*x_BT3I.chunk(3, dim=-1)))
        return y_BTI

    def last(self, x_BT3I: Tensor) -> Tensor:
        return self(x_BT3I)[:, -1]

    def is_recurrent(self) -> bool:
        return True

    def initial_state(self, batch_size: int) -> Any:
        return self.cell.initial_state(batch_size)

    def step(self, x_B3I: Tensor, state: Any) -> tuple[Tensor, Any]:
        h_BI, state = self.cell.step(*x_B3I.chunk(3, dim=-1), state)
        return self.cell.norm(h_BI), state

    def load_authors_weights(self, arrays: dict[str, Any]) -> None:
        copy_into(self, self.from_authors(AuthorsWeights(arrays, torch.device("cpu"))))

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        return {f"cell.{name}": values for name, values in cell_from_authors(authors, self.cell, "").items()}


class ResidualStack(Stack):
    """The IndRNN authors' residual network: x + Linear(layer(Linear(layer(x)))) in each block, where a layer is the
    recurrence and BatchNorm, a linear map before the blocks and a layer behind them.

    Each of our layers begins with a linear map. It is the identity where the authors' layer has none.

    Args:
        widths: the inputs of the map before the blocks, and of the one at the end of each block.
    """

    def __init__(self, stack: list[SequenceModel], widths: list[int]) -> None:
        super().__init__(stack)
        self.maps = nn.ModuleList(nn.Linear(width, stack[0].output_size) for width in widths)

    def through(self, x_D: Tensor, run: Run) -> Tensor:
        h_H = self.maps[0](x_D)
        for i, leave in enumerate(self.maps[1:]):
            h_H = h_H + leave(run(2 * i + 1, run(2 * i, h_H)))
        return run(len(self.stack) - 1, h_H)

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        names = ["fc0.fc", *(f"resblock{i}.fc2.fc" for i in range(1, len(self.maps)))]
        maps = {f"maps.{i}.{part}": f"{name}.{part}" for i, name in enumerate(names) for part in ("weight", "bias")}
        plain = AuthorsWeights(dict(self.as_plain(authors)), authors.device)
        return super().from_authors(plain) | authors.renamed(self, maps)

    def as_plain(self, authors: AuthorsWeights) -> Iterator[tuple[str, Any]]:
        """Yield the weights of each layer by the names in the authors' plain network."""
        parts = {f"{PREFIX}{theirs}.": f"{PREFIX}{plain}." for theirs, plain in self.parts()}
        for key, values in authors.arrays.items():
            for theirs in filter(key.startswith, parts):
                yield key.replace(theirs, parts[theirs]), values
        for k in range(0, len(self.stack), 2):
            size = self.stack[k].output_size
            yield f"{PREFIX}DIs.{k}.fc.weight", np.eye(size)
            yield f"{PREFIX}DIs.{k}.fc.bias", np.zeros(size)

    def parts(self) -> Iterator[tuple[str, str]]:
        """Yield the names of a layer's parts, in this network and in the plain one."""
        top = len(self.stack) - 1
        for k in range(0, top, 2):
            block = f"resblock{k // 2 + 1}"
            yield f"{block}.IndRNNwithBN1", f"RNNs.{k}"
            yield f"{block}.fc1", f"DIs.{k + 1}"
            yield f"{block}.IndRNNwithBN2", f"RNNs.{k + 1}"
        yield "IndRNNwithBN_last", f"RNNs.{top}"


def settle(model: nn.Module, x_BTD: Tensor) -> None:
    """Make the running averages of BatchNorm those of a batch, and switch the model to evaluation."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(x_BTD)
    rows = x_BTD.shape[:2].numel()
    for norm in norms:
        norm.running_var *= (rows - 1) / rows  # torch keeps Σ/(n − 1), and normalises by Σ/n
    model.eval()
