"""The new places of modules that a contributor's file for version 0.1 may import."""

MOVED = {
    "models._base": "models.shared.contract (check_lengths is in models.kernels.lengths)",
    "models._wrappers": 'models.shared.wrappers; a model needs no import for it: wrapper = "plain" or "residual"',
    "models._torch_rnn": "models.recurrences.torch_layers (HiddenSizeConfig is in models.shared.contract)",
    "models._stepwise": "models.recurrences.stepwise",
    "models._gated_linear": "models.recurrences.gated_linear",
    "models._statistical": "models.recurrences.statistical",
    "models._ssm": "models.recurrences.state_space",
    "models._scan": "models.recurrences.scan",
    "models._linear": "models.shared.linear",
    "models._training": "models.shared.training",
    "models._module": "models.shared.lightning_module",
    "models._backend": "models.kernels.backend",
    "models._compiled": "models.kernels.cpu.toolkit.compile",
}


def advice(error: BaseException) -> str:
    """Return the end of a message: what to import instead of a module that has moved; empty for other errors."""
    new = MOVED.get(error.name or "") if isinstance(error, ModuleNotFoundError) else None
    return f". It is now {new}" if new else ""
