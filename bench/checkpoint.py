"""Lightning's checkpoints: each written as a whole or not at all, and the best one known wherever the folder is now."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from bench.files import write_whole


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning writes to the system's temporary folder and moves the file, which from another disk is a copy."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())


class KeepBest(ModelCheckpoint):
    """Lightning forgets how good the best checkpoint was where the folder has moved since: the state names paths."""

    __qualname__ = ModelCheckpoint.__qualname__  # it names the state: that of earlier versions is read, too

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = state_dict | {"dirpath": self.dirpath}
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            here[name] = self._here(state_dict[name])
        here["best_k_models"] = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(here)

    def _here(self, path: str) -> str:
        return path and str(Path(str(self.dirpath), Path(path).name))
