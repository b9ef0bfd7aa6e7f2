"""`bench time`."""

from typing import Annotated

import typer

from bench.cli.database import open_store
from bench.cli.options import A_SUITE, DEFAULT_SUITE, DataDir, Db, given_suite
from bench.cli.output import stderr

EPILOG = """Examples:

  python -m bench time

  python -m bench time --suite quick-v2 --budget 10k --model fru
"""


def time(
    suite: Annotated[str, typer.Option(help=f"Whose entries. {A_SUITE}")] = DEFAULT_SUITE,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this architecture.")] = None,
    budget: Annotated[str | None, typer.Option(help="Only this tier.", show_default="all")] = None,
    wrapper: Annotated[str | None, typer.Option(help="Only this block: residual or plain.")] = None,
    data_dir: DataDir = None,
    db: Db = None,
) -> None:
    """Time a train step of each recorded entry, alone on one thread, and record it with its runs.

    An entry's training time on the board is then its steps times this: runs that shared the processor took longer than
    they would alone. Where other processes use more than 15% of the machine, it refuses.
    """
    from bench.publishing.step_times import time_entries

    wanted = {"model": model, "tier": budget, "wrapper": wrapper}
    time_entries(
        given_suite(suite),
        open_store(db),
        lambda entry: all(value in (None, getattr(entry, name)) for name, value in wanted.items()),
        data_dir=data_dir,
        tell=lambda text: stderr.print(text, markup=False),
    )
