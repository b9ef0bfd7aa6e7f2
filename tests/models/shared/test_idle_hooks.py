"""A training step calls the hooks that do something, and no others."""

import pytest
from lightning.pytorch.profilers import PassThroughProfiler

from models.shared.idle_hooks import HOOKS_OF_A_STEP
from tests.conftest import QUICK, Bench


def test_a_step_calls_no_hook_that_does_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[tuple[str, str]] = set()

    def note(self: PassThroughProfiler, action: str) -> None:
        if action.startswith(("[Callback]", "[LightningModule]")):
            name, _, hook = action.partition("]")[2].rpartition(".")
            called.add((name.partition("{")[0], hook))

    monkeypatch.setattr(PassThroughProfiler, "start", note)
    bench("run", "--model", "gru", *QUICK)
    assert ("Curves", "on_validation_end") in called
    busy = ("Curves", "StopWhenDiverged", "StopAtStep", "ProgressBar", "ModelCheckpoint")  # the last is KeepBest's name
    ours = {(name, hook) for name, hook in called if hook in HOOKS_OF_A_STEP}
    assert ours == {(name, "on_train_batch_end") for name in busy}
