"""Lightning's checkpoints, each written as a whole or not at all."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from bench.files import write_whole


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning writes to the system's temporary folder and moves the file, which from another disk is a copy."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())
