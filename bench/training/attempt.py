"""One attempt at a run: training, the checkpoint chosen on validation, the one evaluation of the test split.

A task without a validation split (only in a paper's protocol, never on the board) offers no choice: the last epoch's
network is evaluated.
"""

import io
import math
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from safetensors.torch import save_model

from bench.bundle.predictions import Array, fingerprint, write_predictions
from bench.catalog.registry import FoundModel
from bench.common.errors import RequestError
from bench.common.exit_codes import EXIT_FAILED
from bench.runs.network import build
from bench.runs.provenance import gpu_joules
from bench.runs.recorded import PREDICTIONS, WEIGHTS
from bench.runs.request import Execution, RunRequest
from bench.speed.latency import step_seconds
from bench.speed.memory import peak_device, release, reset_peaks
from bench.training.callbacks import (
    Curves,
    DivergedError,
    EndWhenSolved,
    SeedEachEpoch,
    StopAtStep,
    StopWhenDiverged,
)
from bench.training.checkpoints import SOURCE_HASH, KeepBest, KeepLast, WholeCheckpoints
from bench.training.ending import Ending, ending_of, is_lost_connection
from bench.training.evaluation import evaluate, named
from bench.training.helper_processes import own_launcher
from bench.training.process_settings import prepare_process
from bench.training.progress_bar import ProgressBar
from bench.training.stop_signals import call_ended_by_signals
from datamodules._base import SequenceDataModule
from datamodules._split_checks import check_splits
from models.shared.constant_answer import start_at_constant
from models.shared.idle_hooks import without_idle_hooks
from models.shared.lightning_module import SequenceModule

LAST = "last.ckpt"
MOST_STEPS = 500  # of training between two evaluations
SECONDS_TO_END = 30  # for a process whose connection has ended already


class Attempt:
    """One attempt at a request.

    After `run` or `train` the attributes hold what is to be recorded, however the attempt ended.

    Args:
        folder: where checkpoints and logs go. With `execution.resume`, training resumes from a checkpoint there.
        watchers: callbacks that watch training; by default the progress bar.
    """

    def __init__(
        self, request: RunRequest, execution: Execution, folder: Path, watchers: Sequence[Callback] | None = None
    ) -> None:
        self.request, self.execution, self.folder, self.watchers = request, execution, folder, watchers
        self.training = request.settings.training
        self.monitor = f"validation/{request.spec.metric}"
        self.curves = Curves()
        self.metrics: dict[str, dict[str, float]] = {}
        self.predictions: dict[str, Array] = {}
        self.best_epoch: int | None = None
        self.epochs = self.steps = 0
        self.facts: dict[str, Any] = {}
        self.chooses = True
        self.samples_per_second: float | None = None
        self.peak_memory_device: int | None = None
        self.is_main_process = True
        self._trainer: Trainer | None = None

    def run(self) -> Ending:
        """Train, choose the best checkpoint and evaluate it.

        Returns:
            How the attempt ended. A failure of the run itself is an ending, not an exception.

        Raises:
            Exception: one that has an `exit_code` (`RequestError`, `DataError`, …): the request can't be met here.
        """
        return self._ending_of(self._train_and_evaluate)

    def train(self) -> Ending:
        """Train as `run` does, without the final evaluation. The task is built without its test splits."""
        return self._ending_of(self._train_and_choose)

    def _ending_of(self, act: Callable[[], object]) -> Ending:
        prepare_process()
        release()  # memory that an earlier run left behind must not count for this one
        reset_peaks()
        came: list[str] = []
        try:
            with own_launcher(self.execution):
                call_ended_by_signals(act, came)
        except BaseException as error:
            if self._stop_helpers(error) and not came:  # its traceback is kept; here only a connection ended
                return Ending("failed", "the process of another device failed")
            return self._ending(error, came)
        return Ending("finished")

    def _ending(self, error: BaseException, came: Sequence[str]) -> Ending:
        """Return what an exception means.

        Args:
            came: the signals that this process got while it trained.
        """
        if isinstance(error, DivergedError):
            return Ending("diverged", str(error))
        if came or isinstance(error, KeyboardInterrupt):
            return Ending("interrupted", f"stopped by {came[0] if came else 'SIGINT'} in epoch {self.epochs}")
        if hasattr(error, "exit_code") or not isinstance(error, Exception | SystemExit):
            raise error
        self._keep_traceback(error)
        return ending_of(error, self.request.model.path)

    def _keep_traceback(self, error: BaseException) -> None:
        with suppress(Exception):  # the record matters more; and a model's exceptions have their own methods
            text = "".join(traceback.format_exception(error))
            (self.folder / "error.txt").write_text(text, encoding="utf-8", errors="backslashreplace")

    def _stop_helpers(self, error: BaseException) -> bool:
        """Kill the processes of further devices: nothing waits for them any more.

        When one of them exits with an error, Lightning kills this process too within five seconds. That is right while
        this process waits for them, but not while it records the same error.

        Args:
            error: what ended this process's part. A lost connection may be the failure of another, which then ends by
                itself and is waited for.

        Returns:
            Whether the run failed in one of them.
        """
        helpers: list[Popen[bytes]] = getattr(self._trainer and self._trainer.strategy.launcher, "procs", [])
        mine = helpers[:]
        helpers.clear()  # Lightning watches the processes in this list; the error's message may take long
        was_lost = is_lost_connection(error)
        deadline = time.monotonic() + (SECONDS_TO_END if was_lost else 0)
        for helper in mine:
            with suppress(TimeoutExpired):
                helper.wait(max(0, deadline - time.monotonic()))
            helper.kill()
        return was_lost and any(helper.returncode == EXIT_FAILED for helper in mine)

    def _train_and_evaluate(self) -> None:
        self._evaluate(*self._train(with_tests=True))

    def _train_and_choose(self) -> None:
        _, module, _ = self._train(with_tests=False)
        self._choose(module)
        self._keep_weights(module)

    def _train(self, *, with_tests: bool) -> tuple[Trainer, SequenceModule, SequenceDataModule]:
        seed = self.request.seed
        seed_everything(seed, verbose=False)
        data = self.request.task.build(order_seed=seed, data_dir=self.execution.data_dir, with_tests=with_tests)
        data.prepare_data()
        check_splits(data)
        self.facts = {"splits": {split: data.split_hash(split) for split in data.split_names}, "task": data.facts()}
        network = build(self.request.model.cls, self.request.wrapper, self.request.settings, self.request.spec)
        self.facts["model"] = {name: fact for mixer in network.mixers() for name, fact in mixer.facts().items()}
        if self.training.start_at_constant:
            start_at_constant(network.readout, self.request.spec, data.split("train").y)
        module = SequenceModule(network, self.request.spec, self.training)
        if self.execution.compile:
            network.compile()
        self.chooses = "validation" in data.split_names
        trainer = self._trainer = self._build_trainer(len(data.split("train").y))
        self.is_main_process = trainer.is_global_zero
        data.batch_size = self._batch_size_per_device(trainer)
        joules = gpu_joules(trainer.strategy.root_device)
        try:
            self._fit(trainer, module, data)
        finally:
            # Where there was nothing left to train, Lightning's `current_epoch` stays one behind.
            progress: Any = trainer.fit_loop.epoch_progress.current
            self.epochs, self.steps = progress.processed, trainer.global_step
            self._measure(trainer, joules)
        return trainer, module, data

    def _fit(self, trainer: Trainer, module: SequenceModule, data: SequenceDataModule) -> None:
        last = self.folder / LAST
        checkpoint = str(last) if self.execution.resume and last.exists() else None
        if checkpoint:
            _check_usable(last, self.request.model)
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=False if checkpoint else None)

    def _evaluate(self, trainer: Trainer, module: SequenceModule, data: SequenceDataModule) -> None:
        """Compute the metrics of the chosen checkpoint. The test split is read here and nowhere else."""
        self._choose(module)
        loaders = {"train": data.evaluation_dataloader("train")}
        if self.chooses:
            loaders["validation"] = data.val_dataloader()
        for split, loader in loaders.items():
            (scores,) = trainer.validate(module, dataloaders=loader, verbose=False)
            self.metrics[split] = named(scores)
        for split, loader in ({"test": data.test_dataloader()} | data.extra_test_dataloaders()).items():
            self.metrics[split], self.predictions[split] = evaluate(trainer, module, loader)
        for split, scores in self.metrics.items():
            if not all(map(math.isfinite, scores.values())):
                raise DivergedError(f"the {split} metrics of the chosen checkpoint are {scores}")
        self.facts["predictions"] = {split: fingerprint(array) for split, array in self.predictions.items()}
        if self.is_main_process:
            self._keep_proof(module)
            self.facts["step_seconds"] = step_seconds(module.network.mixers(), trainer.strategy.root_device)

    def _choose(self, module: SequenceModule) -> None:
        """Load the checkpoint that was best on validation."""
        checkpoint = torch.load(self.folder / "best.ckpt", weights_only=True, map_location="cpu")
        module.load_state_dict(checkpoint["state_dict"])
        self.best_epoch = checkpoint["epoch"] + 1

    def _keep_weights(self, module: SequenceModule) -> None:
        """Save the chosen weights in a format that can be read without executing code."""
        save_model(module.network, str(self.folder / WEIGHTS))

    def _keep_proof(self, module: SequenceModule) -> None:
        """Save what others need to check the result."""
        (self.folder / PREDICTIONS).write_bytes(write_predictions(self.predictions))
        self._keep_weights(module)

    def discard_checkpoints(self) -> None:
        """Delete the checkpoints, once the result is recorded and nothing will resume from them."""
        for name in ("best.ckpt", LAST):
            (self.folder / name).unlink(missing_ok=True)

    def _measure(self, trainer: Trainer, joules_before: float | None) -> None:
        if self.curves.batch_seconds > 0:
            self.samples_per_second = self.curves.samples / self.curves.batch_seconds
        if trainer.strategy.root_device.type == "cuda":
            self.peak_memory_device = peak_device()
        if joules_before is not None and (joules := gpu_joules(trainer.strategy.root_device)) is not None:
            self.facts["gpu_joules"] = joules - joules_before

    def _batch_size_per_device(self, trainer: Trainer) -> int:
        """The batch size is a setting of the run, so the devices share one batch."""
        total, devices = self.training.batch_size, trainer.world_size
        if total % devices:
            raise RequestError(
                f"batch_size={total} can't be shared by {devices} devices: choose a multiple of {devices}."
            )
        return total // devices

    def _build_trainer(self, train_count: int) -> Trainer:
        total_steps = self.training.total_steps(train_count)
        execution, request = self.execution, self.request
        label = f"{request.model.name} · {request.spec.name} · seed {request.seed}"
        bar = ProgressBar(total_steps, request.spec.metric, label)
        watchers = [bar] if self.watchers is None else self.watchers
        callbacks = [without_idle_hooks(each, Callback) for each in (*self._callbacks(total_steps), *watchers)]
        try:
            return Trainer(
                accelerator=execution.accelerator,
                devices=execution.devices,
                precision=self.training.precision,
                max_epochs=-1 if self.training.max_steps else self.training.epochs,
                val_check_interval=evaluation_interval(self.training.steps_per_epoch(train_count)),
                gradient_clip_val=self.training.clip_norm,
                callbacks=callbacks,
                # We start the processes of further devices ourselves, also under SLURM.
                plugins=[WholeCheckpoints(), LightningEnvironment()],
                logger=self._logger(),
                log_every_n_steps=total_steps + 1,  # evaluations are logged; single steps are not
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                deterministic="warn",
                default_root_dir=self.folder,
            )
        except OSError:
            raise
        except Exception as error:  # Lightning refuses, for example, an accelerator that does not exist
            raise RequestError(
                f"--accelerator {execution.accelerator} --devices {execution.devices}: {error}"
            ) from error

    def _callbacks(self, total_steps: int) -> list[Callback]:
        mode = "max" if self.request.spec.higher_is_better else "min"
        seed = self.request.seed
        callbacks: list[Callback] = [self.curves, StopWhenDiverged(), SeedEachEpoch(seed), StopAtStep(total_steps)]
        if self.training.end_when_solved and self.chooses:
            callbacks.append(EndWhenSolved(self.request.spec))
        if self.training.patience:
            callbacks.append(
                EarlyStopping(self.monitor, mode=mode, patience=self.training.patience, check_on_train_epoch_end=False)
            )
        best = KeepBest(
            self.folder, "best", monitor=self.monitor if self.chooses else None, mode=mode, save_weights_only=True,
            save_on_train_epoch_end=not self.chooses, enable_version_counter=False,
        )  # fmt: skip
        return [*callbacks, best, KeepLast(self.folder / LAST, self.request.model.source_hash)]

    def _logger(self) -> Logger | bool:
        name, folder = self.execution.logger, self.folder
        match name:
            case "none":
                return False
            case "csv":
                return CSVLogger(folder, name="", version="csv")
            case "tensorboard":
                return TensorBoardLogger(folder, name="", version="tensorboard")
            case "wandb":
                return WandbLogger(project="long-bench", save_dir=folder, name=self.request.run_id)


def forget(folder: Path) -> None:
    """Empty an attempt's folder, or create it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def evaluation_interval(steps_per_epoch: int) -> int:
    """Return the steps between evaluations: an epoch, or equal parts of a long one with at most MOST_STEPS each."""
    return steps_per_epoch // -(-steps_per_epoch // MOST_STEPS)


def _check_usable(checkpoint: Path, model: FoundModel) -> None:
    data = io.BytesIO(checkpoint.read_bytes())  # a file that can't be read now is not damaged
    try:
        content = torch.load(data, weights_only=False, map_location="meta")
    except Exception as error:
        raise RequestError(
            f"{checkpoint} is damaged ({error}). Remove it to begin the run again: the result will be the same."
        ) from error
    if content.get(SOURCE_HASH, model.source_hash) != model.source_hash:  # earlier versions did not keep it
        raise RequestError(
            f"{model.path} has changed since {checkpoint} was saved, and a result belongs to one version of the code. "
            "Restore the file to resume, or remove the checkpoint to begin the run again with the file as it is now."
        )
