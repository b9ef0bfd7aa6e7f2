"""Whether a run has a result already. Nothing here imports torch, so that a recorded run is shown at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.catalog.setting_sources import same
from bench.common.errors import RequestError
from bench.runs.registration import take_over_drafts
from db.schema import Run
from db.standing import Standing
from db.store import Store

if TYPE_CHECKING:
    from bench.catalog.registry import FoundTask

WEIGHTS = "weights.safetensors"
"""The chosen weights of a run, in its folder of the store's artifacts."""
PREDICTIONS = "predictions.npz"
"""What they predict on each test split, beside them."""
Hashes = Mapping[str, str]
"""Split → the hash of its data."""


class Identified(Protocol):
    """A request for a run, or what is left of one."""

    @property
    def run_id(self) -> str: ...

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each setting that is not a default came from."""

    @property
    def model_name(self) -> str: ...

    @property
    def source_hash(self) -> str:
        """SHA-256 of the model's file."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request for a run comes to, in a form that can be kept."""

    run_id: str
    sources: dict[str, str]
    model_name: str
    model_file: str
    source_hash: str
    """SHA-256 of that file."""
    is_draft: bool
    """Whether the architecture or the task is given by path."""
    next_seed: str
    """The command for the next seed."""


def note_asked(requests: Sequence[Identified], store: Store) -> list[Run | None]:
    """Return the result of each run, if it has one. Add an event to it if its settings come from new sources this time.

    Runs of a model's file from before it was registered are its results, too. A run without a parameter tier is in no
    entry, so it gets no event.
    """
    for model, source_hash in {(request.model_name, request.source_hash) for request in requests}:
        take_over_drafts(model, source_hash, store)
    return [_note_asked(request, store) for request in requests]


def _note_asked(request: Identified, store: Store) -> Run | None:
    recorded = store.result(request.run_id)
    if recorded and recorded.budget is not None:
        known = Standing.of(store.events(recorded.run_id)).sources(recorded)
        if not any(same(request.sources, sources) for sources in known):
            store.add_event(
                recorded, "asked", "for again, its settings chosen in another way",
                {"config_source": dict(request.sources)},
            )  # fmt: skip
    return recorded


def answer(request: Identified, store: Store, hashes: Callable[[], Hashes | None]) -> Run | None:
    """Return the result of a run, as `note_asked` does, if its task still has the data that gave it.

    Args:
        hashes: called if there is a result; returns the hashes of the data as they are now. Data that are not on this
            machine, for which it returns None, are not compared.

    Raises:
        RequestError: the data have changed.
        DataError: some of the data are damaged.
    """
    (recorded,) = note_asked([request], store)
    if recorded:
        known, found = recorded.facts.get("splits", {}), hashes() or {}
        changed = [split for split, digest in found.items() if known.get(split) not in (None, digest)]
        if changed:
            raise RequestError(
                f"run {recorded.run_id} is recorded, but with other data: {', '.join(changed)} of {recorded.task} "
                "has changed since. Restore the data, or raise the task's `version` so that its runs are new ones."
            )
    return recorded


def split_hashes(task: "FoundTask", data_dir: str | None) -> Hashes | None:
    """Return the hashes of a task's splits; None where its data are not on this machine.

    Args:
        data_dir: the first folder in which files of data sets are looked for.

    Raises:
        DataError: some of the data are damaged.
    """
    data = task.build(data_dir=data_dir)
    return None if data.missing() else {split: data.split_hash(split) for split in data.split_names}
