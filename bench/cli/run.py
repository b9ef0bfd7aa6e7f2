"""`bench run`."""

import shlex
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.cli.code_note import say_missing_commit
from bench.cli.database import open_store
from bench.cli.options import A_TASK, Budget, DataDir, Db, Json, Model, OwnWrapper
from bench.cli.output import print_json, stderr
from bench.cli.task_rows import ranked
from bench.common.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from bench.common.launchers import was_started_by_us
from bench.common.text import counted, metric_text

if TYPE_CHECKING:
    from bench.runs.recorded import Asked
    from bench.runs.request import Execution, RunRequest
    from db.schema import Run
    from db.store import Store

EXIT_CODES = {"finished": 0, "interrupted": EXIT_INTERRUPTED}

EPILOG = """Examples:

  python -m bench run --model fru

  python -m bench run --model lstm --task fashion --budget 100k --seed 1

  python -m bench run --model my_rnn.py --set lr=0.01 --set clip_norm=none

  python -m bench run --model gru --task my_task.py:long
"""


def run(
    model: Model,
    task: Annotated[str, A_TASK] = "digits",
    seed: Annotated[int, typer.Option(help="Seed of weights and batch order; data never depends on it.")] = 0,
    budget: Budget = None,
    wrapper: OwnWrapper = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting; may be given many times. Without =VALUE, all their names are listed.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=N.")] = None,
    preset: Annotated[bool, typer.Option("--preset", help="Start from what `bench tune --save-preset` found.")] = False,
    precision: Annotated[str | None, typer.Option(help="32, bf16-mixed, 16-mixed or 64.", show_default="32")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a stopped attempt from its last epoch.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Train a draft's recorded run again. It is marked and no longer counts.")
    ] = False,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, …")] = "auto",
    devices: Annotated[str, typer.Option(help="Lightning's: a number, or auto for all. They share the batch.")] = "1",
    logger: Annotated[
        Literal["csv", "tensorboard", "wandb", "none"], typer.Option(help="Where else to log the curves.")
    ] = "none",
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the network with torch.compile.")] = False,
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Train an architecture on a task, evaluate it once and record the result.

    A run that is recorded already is shown, not repeated. Drafts, which are models and tasks given by path, can be
    repeated with --again.
    """
    from bench.cli.asking import Asking
    from bench.runs.recorded import answer

    flags = {
        "assignments": assignments or [], "epochs": epochs, "precision": precision, "budget": budget, "wrapper": wrapper
    }  # fmt: skip
    asking = Asking(model=model, task=task, seed=seed, flags=flags, preset=preset, data_dir=data_dir)
    asked, store = asking.asked(), open_store(db)
    recorded = None if again else answer(asked, store, asking.hashes)
    if recorded is None:
        options = {"accelerator": accelerator, "devices": devices, "logger": logger, "compile": compile_}
        recorded = _train(asking.request, store, options | {"data_dir": data_dir, "resume": resume, "again": again})
        if devices != "1" and was_started_by_us():
            return EXIT_CODES.get(recorded.status, EXIT_FAILED)
        if recorded.status == "finished":
            asking.remember()
    elif not as_json:
        _say_shown(recorded, asked)
    _show(recorded, asked, store, as_json=as_json)
    return EXIT_CODES.get(recorded.status, EXIT_FAILED)


def _train(request: "RunRequest", store: "Store", options: dict[str, Any]) -> "Run":
    from bench.runs.request import Execution
    from bench.training.run import run as run_request

    execution = Execution(**options)
    return run_request(request, store, execution, on_begin=partial(_say_before, request, store, execution))


def _say_before(request: "RunRequest", store: "Store", execution: "Execution") -> None:
    from bench.training.helper_processes import is_helper_process
    from bench.training.run import was_stopped

    if is_helper_process(execution):
        return
    say_missing_commit()
    if execution.resume and not was_stopped(request, store):
        stderr.print(
            f"There is nothing to resume: {store} has no stopped attempt at this run ({request.run_id}). It begins.",
            markup=False,
        )


def _say_shown(run: "Run", asked: "Asked") -> None:
    stderr.print(f"This run was recorded on {run.finished_at:%Y-%m-%d %H:%M} UTC; it is shown, not repeated.")
    if asked.is_draft:
        stderr.print("A draft can be trained again with --again. The run is then marked and no longer counts.")
    if run.source_hash != asked.source_hash:
        stderr.print(f"{asked.model_file} has changed since: the result is of the file as it was.", markup=False)


def _show(run: "Run", asked: "Asked", store: "Store", *, as_json: bool) -> None:
    from bench.reports.run_document import summary
    from db.standing import withdrawals

    withdrawn = withdrawals(run, store.events(run.run_id))
    for event in withdrawn:
        stderr.print(f"{event.kind}: {event.reason}", style="bold red", markup=False)
    if as_json:
        print_json(summary(run, withdrawn[-1].kind if withdrawn else None))
        return
    if run.status != "finished":
        stderr.print(f"[bold red]{run.status}[/]: {run.reason}")
        if run.status == "failed":
            stderr.print(f"Traceback: {store.artifacts / run.run_id / 'error.txt'}")
        if run.status == "interrupted":
            from bench.runs.commands import resume_command

            command = resume_command(run.command, store, run.environment["execution"])
            stderr.print(f"Go on with:\n  {command}", markup=False)
    else:
        _show_result(run, asked, store)


def _show_result(run: "Run", asked: "Asked", store: "Store") -> None:
    from bench.runs.recorded import WEIGHTS

    value, weights = metric_text(run.metric_name, run.metric_value), store.artifacts / run.run_id / WEIGHTS
    print(f"{run.model} on {run.task}, seed {run.seed}: test {run.metric_name} {value}")
    print(f"  {run.params_total:,} parameters ({run.params_core:,} core, {run.params_readout:,} readout), ", end="")
    print(f"{counted(run.epochs, 'epoch')} in {run.train_seconds:.0f} s, best epoch {run.best_epoch}")
    _show_score(run, store)
    print(f"  Run {run.run_id}; weights: {weights if weights.exists() else 'not on this machine'}")
    database = "" if store.is_default else f" --db {shlex.quote(str(store))}"
    print("\nNext:")
    print(f"  this run:       python -m bench show {run.run_id}{database}")
    print(f"  another seed:   {asked.next_seed}{database}")
    print(f"  the board:      python -m bench leaderboard --task {run.task}{database}")
    print(f"  in the browser: python -m bench app{database}")


def _show_score(run: "Run", store: "Store") -> None:
    """Print the score beside the best of each suite that the run counts in; in none, beside the best of its task."""
    from bench.ranking.utility import score
    from bench.reports.best_in_suites import best_in_suites

    own, suites = f"  Score {score(run):.1f}", best_in_suites(store, run)
    for best in suites:
        where, seeds = f"{best.suite} on {run.task} at {run.budget}, {run.wrapper}", counted(best.seeds, "seed")
        if run.run_id in best.run_ids:
            print(f"{own}. It leads {where} (score {best.score:.1f} over {seeds}).")
        else:
            print(f"{own}. Best of {where}: {best.model}, ", end="")
            print(f"score {best.score:.1f} over {seeds}, {best.params:,} parameters.")
    for row in [] if suites else ranked(store, run.task)[:1]:
        if run.run_id in row["run_ids"]:
            print(f"{own}. It leads the board on {run.task} (score {row['score']:.1f}).")
        else:
            print(f"{own}. Best on the board: {row['model']}, score {row['score']:.1f}, {row['params']:,} parameters.")
