"""The parameters of an architecture's own authors, found by name and checked before a layer of ours takes them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

PREFIX = "param/"


class AuthorsWeights:
    """The authors' parameters. Each is checked when it is asked for.

    Args:
        arrays: arrays or tensors by `param/NAME`, the authors' names. Other entries are ignored.
        device: where the tensors are put.
    """

    def __init__(self, arrays: Mapping[str, Any], device: torch.device) -> None:
        self.arrays, self.device = arrays, device

    def __contains__(self, name: str) -> bool:
        return PREFIX + name in self.arrays

    def __call__(self, name: str, *shape: int) -> Tensor:
        """Return a parameter.

        Raises:
            ValueError: the entry is missing, or its shape is not the one that this configuration needs.
        """
        key = PREFIX + name
        if key not in self.arrays:
            raise ValueError(f"no entry {key!r}; entries: {', '.join(sorted(self.arrays))}")
        values = torch.as_tensor(self.arrays[key], device=self.device)
        if values.shape != shape:
            raise ValueError(f"{key} has shape {tuple(values.shape)}; this configuration needs {shape}")
        return values

    def renamed(self, layer: nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
        """Return parameters that differ from ours by the name only.

        Args:
            names: the authors' name of each parameter by the name in `layer`.
        """
        return {ours: self(theirs, *layer.get_parameter(ours).shape) for ours, theirs in names.items()}


def copy_into(layer: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Set every parameter of a layer.

    Raises:
        ValueError: a parameter has no value.
    """
    parameters = dict(layer.named_parameters())
    if missing := sorted(parameters.keys() - values.keys()):
        raise ValueError(
            f"the authors' layer has nothing for {', '.join(missing)}: build {type(layer).__name__} in their sizes"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])
