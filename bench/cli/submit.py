"""Submitting results and taking them in: `bench bundle`, `verify`, `import` and `retract`."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.board import one_run
from bench.cli.database import open_store
from bench.cli.options import DataDir, Db, Json, seconds
from bench.cli.output import print_json, stderr
from bench.common.errors import RequestError
from bench.common.text import counted

if TYPE_CHECKING:
    from bench.runs.request import RunRequest
    from bench.submissions.claim_checks import Host
    from bench.submissions.judge import Judged
    from bench.submissions.verdict import Finding, Verdict
    from db.schema import Run
    from db.store import Store

EPILOG = """Example:

  python -m bench bundle 1f6a 52c0 9b1e -o my.zip --check
"""
VERIFY_EPILOG = """Examples:

  python -m bench verify my.zip

  python -m bench verify my.zip --reproduce --seeds 5
"""
IMPORT_EPILOG = """Examples:

  python -m bench import my.zip

  python -m bench import my.zip --correction "the first was sent by mistake"
"""
RETRACT_EPILOG = """Example:

  python -m bench retract 1f6a --reason "its labels were shifted"
"""
MARKS = {True: "ok", False: "FAILED", None: "note"}

File = Annotated[Path, typer.Argument(help="A bundle.", metavar="FILE")]
Again = Annotated[bool, typer.Option("--reproduce", help="Train again on fresh seeds, and compare.")]
FreshSeeds = Annotated[int, typer.Option("--seeds", min=1, help="With --reproduce: fresh seeds of each cell.")]
TimeLimit = Annotated[str, typer.Option(help="For rescoring: 90s, 30m, 2h.")]
Accelerator = Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, …")]


def bundle(
    runs: Annotated[list[str], typer.Argument(help="Runs, by their ids or first characters.", metavar="RUN…")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Verify it, as a host does.")] = False,
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Pack runs with all that is needed to check them: record, curves, predictions, weights, settings, environment.

    With --check and without -o, RUN is an existing bundle.
    """
    from db.store import Store

    if output is None and (not check or len(runs) > 1):
        raise RequestError("-o FILE says where the bundle goes, such as -o my.zip.")
    if output is not None:
        _write(runs, output, Store(db))
    if check:
        return verify(output or Path(runs[0]), data_dir=data_dir, db=db, as_json=as_json)
    if as_json:
        print_json({"bundle": str(output)})
    else:
        print(f"Next:  {shlex.join(['python', '-m', 'bench', 'verify', str(output)])}")
    return 0


def verify(
    file: File,
    reproduce: Again = False,
    fresh: FreshSeeds = 3,
    time_limit: TimeLimit = "1h",
    accelerator: Accelerator = "auto",
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Say line by line whether a bundle is true, and record nothing. Exit code 1 if it is rejected.

    Metrics are recomputed from its predictions and from its weights, on the public test split and, where the task is
    generated, on one drawn from this host's secret. Nothing that came with the bundle is run, unpickled or unpacked.
    """
    from bench.submissions.claim_checks import Host

    host = Host(store=open_store(db), seconds=seconds(time_limit), accelerator=accelerator, data_dir=data_dir)
    verdict = _judge(file, host, fresh if reproduce else 0).verdict
    if as_json:
        print_json(verdict.document())
    else:
        _show(verdict)
    return 0 if verdict.accepted else 1


def import_(
    file: File,
    reproduce: Again = False,
    fresh: FreshSeeds = 3,
    correction: Annotated[
        str | None, typer.Option(metavar="REASON", help="The runs replace earlier ones, for this reason.")
    ] = None,
    time_limit: TimeLimit = "1h",
    accelerator: Accelerator = "auto",
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Verify a bundle and, if it is accepted, record its runs and how far they are verified.

    Importing it again changes nothing.
    """
    from bench.submissions.claim_checks import Host
    from bench.submissions.intake import take_in

    host = Host(store=open_store(db), seconds=seconds(time_limit), accelerator=accelerator, data_dir=data_dir)
    judged = _judge(file, host, fresh if reproduce else 0)
    verdict = judged.verdict
    intake = take_in(judged, host.store, correction=correction) if verdict.accepted else None
    if as_json:
        print_json(verdict.document() | {"intake": intake and asdict(intake)})
        return 0 if intake else 1
    _show(verdict)
    if intake:
        for what, run_ids in asdict(intake).items():
            print(f"{what:9} {len(run_ids)}  {' '.join(run_ids)}")
    return 0 if intake else 1


def retract(
    run: Annotated[str, typer.Argument(help="A run's id, or its first characters.")],
    reason: Annotated[str, typer.Option(help="Why. It stays with the run.")],
    undo: Annotated[bool, typer.Option("--undo", help="Say that a retracted run counts again.")] = False,
    db: Db = None,
) -> None:
    """Say that a run no longer counts. Its row stays, with the reason."""
    from db.standing import REPEATED, withdrawals
    from db.store import Store

    store = Store(db)
    found = one_run(run, store)
    if not reason.strip():
        raise RequestError(f"--reason says why the run {'counts again' if undo else 'no longer counts'}.")
    standing = withdrawals(found, store.events(found.run_id))
    if undo and not standing:
        raise RequestError(f"run {found.run_id} is not retracted: there is nothing to undo.")
    if undo and standing[-1].kind == REPEATED:
        raise RequestError(f"run {found.run_id} was trained again. No repeated run counts; take another seed.")
    if standing and not undo:
        raise RequestError(f"run {found.run_id} is {standing[-1].kind} already: {standing[-1].reason}")
    store.add_event(found, "reinstated" if undo else "retracted", reason)
    print(f"Run {found.run_id} {'counts again' if undo else 'no longer counts'}.")


def _write(prefixes: list[str], output: Path, store: "Store") -> None:
    from bench.common.whole_files import write_whole
    from bench.submissions.pack import write_bundle

    runs = list({found.run_id: found for found in (one_run(prefix, store) for prefix in prefixes)}.values())
    data = write_bundle(runs, store)
    try:
        write_whole(output, data)
    except OSError as error:
        raise RequestError(f"{output} can't be written: {error.strerror}.") from error
    stderr.print(f"Wrote {output}: {counted(len(runs), 'run')}, {len(data):,} bytes.", markup=False)
    for left in _left_out(runs, store):
        stderr.print(f"It lacks seed {left.seed} of {left.model} on {left.task}, run {left.run_id}.", markup=False)


def _left_out(runs: list["Run"], store: "Store") -> list["Run"]:
    """Return the other counted seeds of the same cells. A submission has all of them, so that none is picked."""
    from bench.reports.board import task_rows

    chosen = {run.run_id for run in runs}
    cells = [set(row.run_ids) for row in task_rows(store)]
    missing = {run_id for cell in cells if cell & chosen for run_id in cell - chosen}
    return [run for run in store.runs() if run.run_id in missing]


def _judge(file: Path, host: "Host", fresh: int) -> "Judged":
    from bench.submissions.judge import judge, read_file

    return judge(read_file(file), host, fresh=fresh, listener=_announce)


def _announce(request: "RunRequest") -> None:
    stderr.print(f"training {request.model.name} on {request.spec.name} again, seed {request.seed}", markup=False)


def _show(verdict: "Verdict") -> None:
    print(f"bundle {verdict.identity}" if verdict.problem is None else f"  FAILED  structure: {verdict.problem}")
    for run in verdict.runs:
        print(f"{run.record.label} (run {run.record.run_id}): {run.rung}")
        for finding in run.findings:
            _show_finding(finding)
    for finding in verdict.reproductions:
        _show_finding(finding)
    print(f"verdict: {'accepted' if verdict.accepted else 'rejected'}")


def _show_finding(finding: "Finding") -> None:
    print(f"  {MARKS[finding.passed]:7} {finding.check}: {finding.detail}")
