"""Lightning's checkpoints: the best and the last one, each written whole or not at all."""

import io
import time
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from bench.common.whole_files import write_whole

SECONDS_BETWEEN_CHECKPOINTS = 5  # a checkpoint costs some 30 ms, as much as a small model's whole epoch may
IS_OVER, SOURCE_HASH = "training_is_over", "source_hash"  # keys that a checkpoint has in addition to Lightning's


class WholeCheckpoints(TorchCheckpointIO):
    """Writes each checkpoint whole or not at all.

    Lightning writes to the system's temporary folder and then moves the file, which from another disk is a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())


class KeepBest(ModelCheckpoint):
    """Keeps the best checkpoint, and its score also where the folder has moved since.

    Lightning forgets the score there, because the state names the old paths.
    """

    __qualname__ = ModelCheckpoint.__qualname__  # the state's key: this one also reads states of earlier versions

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = state_dict | {"dirpath": self.dirpath}
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            here[name] = self._here(state_dict[name])
        here["best_k_models"] = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(here)

    def _here(self, path: str) -> str:
        return path and str(Path(str(self.dirpath), Path(path).name))


class KeepLast(Checkpoint):
    """Saves a checkpoint to resume from at the end of an epoch, if the last one is old enough to be worth it.

    The checkpoint says whether training was over, which Lightning forgets. A run resumed from a checkpoint that says so
    trains no further. Lightning calls checkpoint callbacks last and in the order given: `KeepBest` is given before this
    one, so the best checkpoint is never older than this one.

    Args:
        path: the file to write.
        source_hash: the hash of the model's file, which each checkpoint contains.
    """

    def __init__(self, path: Path, source_hash: str) -> None:
        self.path, self.source_hash = path, source_hash
        self.saved_at = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        due = time.monotonic() - self.saved_at >= SECONDS_BETWEEN_CHECKPOINTS
        if trainer.strategy.broadcast(due):  # all processes save together: none may decide by its own clock
            trainer.save_checkpoint(self.path)
            self.saved_at = time.monotonic()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {IS_OVER: trainer.should_stop, SOURCE_HASH: self.source_hash}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        trainer.should_stop = checkpoint.get(IS_OVER, False)  # earlier versions did not save it
