"""`python -m bench …` on a device that is none: it computes on the CPU and, as a GPU, refuses to be mixed with it.

    python -m tests.support.pretended_gpu run --model gru
    python -m tests.support.pretended_gpu speed --model gru --device pretended

A tensor on it is a subclass that holds the tensor it stands for. What is moved too late, or never, is found without a
GPU; what CUDA alone does (kernels, streams, memory) is not looked at.
"""

from typing import Any, Self

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from bench.__main__ import main
from bench.speed import measure
from bench.training import attempt


class Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


backend_registration._setup_privateuseone_for_python_backend("pretended", backend_module=Backend())
torch.__future__.set_swap_module_params_on_conversion(True)  # a parameter on the host can't hold one of these
DEVICE = torch.device("pretended", 0)
MAY_MIX = ("aten::copy_", "aten::_to_copy", "aten::index")  # from one device to another, or by indices on the host


class OnDevice(Tensor):
    """A tensor on the device."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> Self:
        tensor: Self = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        tensor.held = held
        return tensor

    def __format__(self, spec: str) -> str:
        return format(self.held.item(), spec)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return carry_out(func, args, kwargs or {})


def carry_out(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """
    Raises:
        RuntimeError: tensors of several devices, of which more than single numbers are on the host.
    """
    name, given = func._schema.name, [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    ours = [each for each in given if isinstance(each, OnDevice)]
    if ours and not name.startswith(MAY_MIX) and any(each.dim() for each in given if not isinstance(each, OnDevice)):
        raise RuntimeError(f"{name} mixes devices")
    target = kwargs.get("device")
    is_here = torch.device(target).type == DEVICE.type if target is not None else bool(ours)
    if name == "aten::copy_":
        is_here = isinstance(args[0], OnDevice)
    if is_here and kwargs.get("generator") is not None:
        raise RuntimeError(f"{name} draws by a generator of another device")
    on_host: dict[str, Any] = {"device": "cpu"} if is_here and target is not None else {}
    result = func(*tree_map(host, args), **tree_map(host, kwargs) | on_host)
    known = {id(host(each)): each for each in given}
    return tree_map(lambda each: placed(each, known, here=is_here), result)


def host(value: Any) -> Any:
    return value.held if isinstance(value, OnDevice) else value


def placed(value: Any, known: dict[int, Tensor], *, here: bool) -> Any:
    """A result where it belongs: the argument that it is, or a tensor of its own."""
    if not isinstance(value, Tensor):
        return value
    before = known.get(id(value))
    if before is not None and isinstance(before, OnDevice) == here:
        return before
    return OnDevice(value) if here else value


class Factories(TorchDispatchMode):
    """Functions that make a tensor of none."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return carry_out(func, args, kwargs or {})


class FromNumbers(TorchFunctionMode):
    """Functions that make a tensor of Python's numbers: made on the host, then moved."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return func(*args, **kwargs | {"device": "cpu"}).to(kwargs["device"])
        return func(*args, **kwargs)


class Pretended(Accelerator):
    def setup_device(self, device: torch.device) -> None: ...

    def teardown(self) -> None: ...

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        return {}

    @staticmethod
    def parse_devices(devices: Any) -> list[int]:
        return [0]

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [DEVICE]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return DEVICE.type


def trainer(**settings: Any) -> Trainer:
    del settings["accelerator"], settings["deterministic"]
    strategy = SingleDeviceStrategy(device=DEVICE, accelerator=Pretended())  # type: ignore[arg-type]
    return Trainer(**settings, strategy=strategy, inference_mode=False)


if __name__ == "__main__":
    attempt.Trainer, save = trainer, torch.save  # type: ignore[misc, assignment]
    torch.save = lambda what, *given, **options: save(tree_map(host, what), *given, **options)
    measure.devices, measure.raised_peak_of_gpu = lambda: [DEVICE.type], lambda name, setup: 0
    with Factories(), FromNumbers():
        main()
