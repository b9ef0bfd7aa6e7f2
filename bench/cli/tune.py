"""`bench tune` and `bench studies`."""

import shlex
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.catalog.setting_sources import FIXED_BY_SUITES
from bench.cli.estimate import LEAST_SECONDS, say_estimate, seconds_of_trials
from bench.cli.options import (
    A_MODEL,
    A_SUITE,
    A_TASK,
    DEFAULT_SUITE,
    Block,
    Budget,
    Csv,
    DataDir,
    Db,
    Json,
    given_suite,
    known_models,
    seconds,
)
from bench.cli.output import Cells, field, left_out, number, print_json, print_rows, stderr
from bench.cli.watch import watching
from bench.common.errors import RequestError, require
from bench.common.exit_codes import EXIT_INTERRUPTED
from bench.common.kept_answers import kept
from bench.common.text import counted, metric_text

if TYPE_CHECKING:
    from bench.runs.request import Execution
    from bench.tuning.search import Tuning
    from bench.tuning.session import Session
    from bench.tuning.storage import Studies
    from bench.tuning.study import Owner
    from bench.tuning.worker_pool import Pool

EPILOG = """Examples:

  python -m bench tune --model fru --task digits --budget 10k --trials 20

  python -m bench tune --model lstm --task adding-200 --objectives metric,params --max-params 20000 --trials 50

  python -m bench tune --suite quick-v2 --models all --budget 10k --save-preset

  python -m bench tune --model fru --task adding-200 --trials 50 --workers 8 --gpus-per-trial 0.5
"""
STUDIES_EPILOG = """Examples:

  python -m bench studies --db my.sqlite

  python -m bench studies --published --json
"""
STUDY_COLUMNS: Cells = {
    "finished": lambda row: str(row["trials"]["finished"]),
    "pruned": lambda row: str(row["trials"]["pruned"]),
    "failed": lambda row: str(row["trials"]["failed"]),
    "steps": number("steps"),
    "best": number("best", ".4g"),
    "study": field("study"),
}


def tune(
    model: Annotated[str | None, A_MODEL] = None,
    task: Annotated[str | None, A_TASK] = None,
    suite: Annotated[
        str | None,
        typer.Option(help=f"Tune on every task of a suite. {A_SUITE}", show_default=f"with --models, {DEFAULT_SUITE}"),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Of a suite's tasks: names with commas, or all.", callback=known_models)
    ] = None,
    budget: Budget = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in the study; a suite has its own number.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=N.")] = None,
    objectives: Annotated[
        Literal["metric", "metric,params"], typer.Option(help="One, or the front of two.")
    ] = "metric",
    max_params: Annotated[int | None, typer.Option(min=1, help="Two objectives: the largest network tried.")] = None,
    sampler: Annotated[
        Literal["tpe", "gp", "random", "nsga2", "cmaes", "qmc", "grid"],
        typer.Option(help="Optuna's. cmaes varies two or more numbers, and draws choices at random."),
    ] = "tpe",
    pruner: Annotated[
        Literal["asha", "hyperband", "median", "none"] | None, typer.Option(help="Optuna's.", show_default="asha")
    ] = None,
    wrapper: Block = "residual",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting that tuning leaves alone.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the study, up to the number of trials.")] = False,
    timeout: Annotated[str | None, typer.Option(help="Begin no trial after this long: 90s, 30m, 2h.")] = None,
    save_preset: Annotated[
        bool, typer.Option("--save-preset", help="Write the best to models/presets, for `run --preset`.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Trials at a time; several need Ray.")] = 1,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="A worker's share of a GPU: 1, 0.5, 0.", show_default="1 where there are GPUs"),
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster: auto, or host:port.")
    ] = None,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, …")] = "auto",
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Search for good settings on train and validation; the test split is not touched, and no run is recorded.

    The study is stored next to the database. All models share the search space for training; each adds its own.
    """
    for package in ("optuna", *["cmaes"] * (sampler == "cmaes")):
        require(package, "tune")
    from bench.runs.request import Execution
    from bench.tuning.samplers import check_sampler
    from bench.tuning.session import Session, refuse_begun
    from bench.tuning.storage import Studies

    options = {"objectives": objectives, "max_params": max_params, "sampler": sampler, "pruner": pruner}
    suite = suite or (DEFAULT_SUITE if models else None)
    if suite is None:
        flags = {"assignments": assignments or [], "epochs": epochs, "budget": budget, "wrapper": wrapper}
        tunings = [_plan(model, task, flags, trials, options, data_dir)]
    else:
        given = {"--model": model, "--task": task, "--epochs": epochs, "--set": assignments}
        tunings = _plan_suite(suite, models, budget, wrapper, trials, options, given)
    if save_preset:
        _check_presets(tunings, assignments or [])
    for tuning in tunings:
        check_sampler(tuning)
    studies_here, limit = Studies(db), seconds(timeout)
    if not resume:
        refuse_begun(tunings, studies_here)
    unavailable: dict[str, str] | None = {} if suite else None
    execution = Execution(accelerator=accelerator, data_dir=data_dir and str(Path(data_dir).absolute()))
    if limit > LEAST_SECONDS and ray_address is None:
        _say_estimate(tunings, studies_here, execution, workers)
    with watching() as watcher, _pool(workers, gpus_per_trial, ray_address) as pool:
        session = Session(tunings, studies_here, execution, watcher, timeout=limit, pool=pool, unavailable=unavailable)
        interrupted = session.run()
    documents = _documents(session, save_preset=save_preset, interrupted=interrupted)
    if as_json:
        print_json(documents if suite else documents[0])
    else:
        for document in documents:
            _show(document)
    for name, reason in (unavailable or {}).items():
        left_out(f"{name}: {reason}")
    if interrupted:
        stderr.print("Interrupted; trials that had ended are kept. Go on with --resume.")
        return EXIT_INTERRUPTED
    if unavailable:
        return RequestError.exit_code
    return 0 if all(document["best"] for document in documents) else 1


def _say_estimate(tunings: list["Tuning"], studies: "Studies", execution: "Execution", workers: int) -> None:
    from bench.tuning.session import begun_trials

    begun = begun_trials(studies)
    left = [(tuning.base, max(0, tuning.trials - begun[tuning.name])) for tuning in tunings]
    took = seconds_of_trials(left, execution, workers)
    say_estimate(counted(sum(count for _, count in left), "trial"), took)


def _plan(
    model: str | None, task: str | None, flags: dict[str, Any], trials: int | None, options: dict[str, Any],
    data_dir: str | None,
) -> "Tuning":  # fmt: skip
    from bench.catalog.registry import find_model_or_file, find_task_or_file
    from bench.runs.request import SettingFlags, build_request
    from bench.tuning.search import Tuning

    if model is None:
        raise RequestError(
            f"say what to tune: --model fru --task digits, or --suite {DEFAULT_SUITE} --models fru,lstm."
        )
    if trials is None:
        raise RequestError("--trials says how many trials the study shall have, such as --trials 20.")
    found = find_task_or_file(task or "digits", data_dir)
    base = build_request(find_model_or_file(model), found, SettingFlags(**flags), seed=0)
    return Tuning(base=base, trials=trials, **options)


def _plan_suite(
    name: str,
    models: str | None,
    budget: str | None,
    wrapper: str,
    trials: int | None,
    options: dict[str, Any],
    given: dict[str, Any],
) -> list["Tuning"]:
    from bench.training.suite_runs import find_models, first_requests
    from bench.tuning.search import Tuning

    suite = given_suite(name)
    foreign = [option for option, value in given.items() if value]
    if foreign or models is None:
        wrong = f"{', '.join(foreign)} can't be given with --suite. " if foreign else ""
        raise RequestError(f"{wrong}A suite says how its tasks are trained; --models fru,lstm says which models.")
    tier = budget or suite.tiers[0]
    requests, impossible = first_requests(suite, find_models(models, left_out), tier, wrapper)
    for pair in impossible:
        left_out(pair.reason)
    return [Tuning(base=base, trials=trials or suite.trials_at(tier), **options) for base in requests]


def _check_presets(tunings: list["Tuning"], held: list[str]) -> None:
    """Check that the best settings can be saved as presets, which hold only what tuning found.

    Raises:
        RequestError: a model or a study can't have a preset, or --set fixed a setting that suites leave to tuning.
    """
    from bench.runs.presets import path_of

    if by_hand := [word for word in held if word.partition("=")[0].strip().replace("-", "_") not in FIXED_BY_SUITES]:
        raise RequestError(
            f"--save-preset is for what tuning found, and {', '.join(by_hand)} was given by hand. Leave --set out, and "
            "give it to `bench run --preset`."
        )
    for tuning in tunings:
        path_of(tuning.base.model)
        if tuning.base.task.path is not None:
            raise RequestError(
                f"--save-preset is for tasks in datamodules/, and {tuning.base.task.path} is not there. Leave it out."
            )
        if tuning.has_front:
            raise RequestError("--save-preset needs one best configuration: give it with one objective.")


def _pool(workers: int, gpus: float | None, address: str | None) -> "AbstractContextManager[Pool | None]":
    """Workers on a Ray cluster, or none where this process is enough."""
    if workers == 1 and gpus is None and address is None:
        return nullcontext()
    require("ray", "cluster")
    from bench.tuning.worker_pool import connected

    stderr.print(f"Starting {counted(workers, 'worker')} with Ray.")
    return connected(workers, gpus, address)


def _documents(session: "Session", *, save_preset: bool, interrupted: bool) -> list[dict[str, Any]]:
    """Return the report of each study that was begun. Presets are saved first: the commands follow from them."""
    from bench.tuning.best import report
    from bench.tuning.settled import best_trials, settled

    documents = []
    for owner in session.owners:
        tuning, count = owner.tuning, len(settled(owner.study))
        if count < tuning.trials and not interrupted:
            stderr.print(
                f"{tuning.name}: the time is over after {count} of {counted(tuning.trials, 'trial')}; --resume goes on."
            )
        if save_preset and best_trials(owner.study) and (count >= tuning.trials or not interrupted):
            _save(owner, count)
        documents.append(report(tuning, owner.study, owner.folder))
    if session.unopened and not interrupted:
        stderr.print(f"{counted(len(session.unopened), 'study')} not begun; --resume goes on.")
    return documents


def _save(owner: "Owner", trials: int) -> None:
    from bench.catalog.setting_sources import spent
    from bench.runs.presets import save
    from bench.tuning.best import best_settings

    base = owner.tuning.base
    path = save(base, spent(trials, base.settings.training.length), best_settings(owner.tuning, owner.study))
    stderr.print(f"Wrote {path}", markup=False)


def _show(document: dict[str, Any]) -> None:
    trials = ", ".join(f"{count} {state}" for state, count in document["trials"].items() if count)
    print(f"{document['model']} on {document['task']}: {trials or 'no trials'}")
    for result in document.get("front", [document["best"]] if document["best"] else []):
        value = metric_text(document["metric"], result["value"])
        print(f"  validation {document['metric']} {value}, {counted(result['params']['total'], 'parameter')}")
    if document["best"]:
        print(f"  A run with the best settings:\n    {document['command']}")
        if document["budget"] and "@" not in document["model"] and "--preset" not in document["command"]:
            print(
                "  What --set says counts as given by hand, which no suite's board shows: for that, add --save-preset"
            )
            print("  (and --resume) here, and give --preset to `bench suite` or `bench run`.")


def studies(
    published: Annotated[
        bool, typer.Option("--published", help="Those published with the results; --json has each trial.")
    ] = False,
    db: Db = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the tuning studies that are stored next to the database."""
    if published:
        _published_studies(db, as_json=as_json, as_csv=as_csv)
        return
    require("optuna", "tune")
    from bench.tuning.settled import overview
    from bench.tuning.storage import Studies

    stored = Studies(db, read_only=True)

    def listed() -> list[dict[str, Any]]:
        return [overview(study) for study in stored.all()]

    state = stored.state
    rows = listed() if state is None else kept(listed, "studies", stored.address, state=state)
    empty = "No studies yet. Make one:  python -m bench tune --model fru --task digits --trials 12"
    print_rows(rows, STUDY_COLUMNS, as_json=as_json, as_csv=as_csv, empty=empty)
    if stored.exist():
        stderr.print(f"Optuna's dashboard shows them: optuna-dashboard {shlex.quote(stored.address)}", markup=False)


def _published_studies(db: str | None, *, as_json: bool, as_csv: bool) -> None:
    from bench.cli.database import open_to_show
    from bench.reports.published_studies import published_studies

    rows = published_studies(open_to_show(db).trials())
    empty = "No published studies in this database. `bench db upgrade` adds what db/published has."
    print_rows(rows, STUDY_COLUMNS, as_json=as_json, as_csv=as_csv, empty=empty)
