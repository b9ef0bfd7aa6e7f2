"""What the audit has to measure: the share of a cell's networks that are dead at the start, on its task's inputs."""

from collections.abc import Callable, Iterable

import torch

from bench.audit.audited import AuditedEntry
from bench.audit.entries import EVENT
from bench.common.errors import RequestError
from bench.runs.dead_starts import STARTS, dead_share
from bench.runs.made_of import made_of
from datamodules._files import DataError
from db.schema import Run
from db.store import Store

SEQUENCES = 64


def measure(
    entries: Iterable[AuditedEntry], store: Store, *, data_dir: str | None, tell: Callable[[str], None]
) -> None:
    """Measure the cells that were not measured yet, and record each finding as an event of the cell's first run.

    Args:
        tell: called with a line on each cell. A cell that can't be measured here is named with the reason.
    """
    cells = [(entry, cell) for entry in entries for cell in entry.cells if cell.dead is None]
    for number, (entry, cell) in enumerate(cells, start=1):
        label = f"{number} of {len(cells)}: {entry.model} ({entry.wrapper}) on {cell.task}"
        run = store.result(cell.run_id)
        assert run is not None
        try:
            share = dead_at_start(run, data_dir)
        except (RequestError, DataError, ValueError, TypeError) as error:
            tell(f"{label}: left out: {error}")
            continue
        store.add_event(run, EVENT, "measured by `bench audit`", {"dead": share, "starts": STARTS})
        tell(f"{label}: {share:.0%} of {STARTS} networks are dead at the start")


def dead_at_start(run: Run, data_dir: str | None = None) -> float:
    """Return the share of dead networks among those of a run's settings, on its task's first training sequences.

    Raises:
        RequestError, ValueError, TypeError, DataError: as `made_of`.
    """
    made = made_of(run, data_dir)
    batch = made.data.decode(made.data.split("train").gather(torch.arange(SEQUENCES)))
    return dead_share(made.model, made.wrapper, made.settings, made.data.spec, batch)
