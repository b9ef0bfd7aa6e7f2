"""`bench probe`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.database import open_store
from bench.cli.options import DEFAULT_SUITE, DataDir, Db, Json, Model, OwnWrapper, given_suite
from bench.cli.output import Cells, field, left_out, number, print_json, print_table, stderr
from bench.cli.suite import SuiteBudget, SuiteName, announce
from bench.common.errors import RequestError, unknown
from bench.common.text import metric_text

if TYPE_CHECKING:
    from bench.probe.probing import Probing

EPILOG = """Examples:

  python -m bench probe --model fru --task copy

  python -m bench probe --model lstm --task adding --probes gradient-flow --lengths 128,1024,8192

  python -m bench probe --model fru --task adding --preset --probes training-length --seeds 5
"""
FIRST, LAST = 0, -1  # in a gradient-flow curve: the last step of the sequence, the first


def probe(
    model: Model,
    task: Annotated[str, typer.Option("--task", "-t", help="A name that `bench tasks` lists.")] = "copy",
    probes: Annotated[
        str | None,
        typer.Option(
            help="gradient-flow, dependency-length, length-extrapolation, training-length.",
            show_default="all but training-length",
        ),
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(help="For gradient flow, with commas.", show_default="128,256,…,8192")
    ] = None,
    suite: SuiteName = DEFAULT_SUITE,
    budget: SuiteBudget = None,
    wrapper: OwnWrapper = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting; may be given many times.")
    ] = None,
    preset: Annotated[bool, typer.Option("--preset", help="Start from what `bench tune --save-preset` found.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each training, for dependency and training length.")] = 1,
    accelerator: Annotated[str, typer.Option(help="Lightning's, for training: auto, cpu, gpu, …")] = "auto",
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Look into an architecture: how gradients flow, how long a dependency it learns, how it does on longer sequences,
    how much training it needs.

    Probes train as the suite does, and reuse recorded runs. What a probe finds is recorded with its run: asked for
    again, it is shown, not measured again. No probe reads a test split.
    """
    from bench.probe.probing import LeftOutError, Prober
    from bench.runs.request import Execution
    from bench.training.process_settings import prepare_process

    wanted = _wanted(probes)
    flags = {"assignments": assignments or [], "budget": budget, "wrapper": wrapper}
    probing = _probing(model, task, suite, flags, lengths, preset=preset, seeds=seeds)
    request, store = probing.run, open_store(db)
    prepare_process()
    execution = Execution(accelerator=accelerator, data_dir=data_dir, resume=True)
    prober = Prober(probing, store, execution, on_run=announce, tell=lambda text: stderr.print(text, markup=False))
    document: dict[str, Any] = {
        "model": request.model.name, "wrapper": request.wrapper.name, "task": request.spec.name,
        "budget": request.budget, "run_id": request.run_id, "probes": [], "left_out": [],
    }  # fmt: skip
    for name in wanted:
        try:
            document["probes"].append(prober.make(name))
        except LeftOutError as error:
            document["left_out"].append({"probe": name, "reason": str(error)})
    if as_json:
        print_json(document)
    else:
        _show(document)
    return 0 if document["probes"] else 1


def _wanted(probes: str | None) -> list[str]:
    from bench.probe.events import PROBES, UNLESS_ASKED

    wanted = [name.strip() for name in probes.split(",")] if probes else list(UNLESS_ASKED)
    for name in wanted:
        if name not in PROBES:
            raise unknown("probe", name, PROBES)
    return wanted


def _probing(
    model: str, task: str, suite: str, flags: dict[str, Any], lengths: str | None, *, preset: bool, seeds: int
) -> "Probing":
    from bench.catalog.registry import find_model_or_file, find_task
    from bench.probe.probing import Probing, as_in
    from bench.runs.request import SettingFlags

    found, trained = find_task(task), given_suite(suite)
    given = SettingFlags(**flags | {"budget": flags["budget"] or trained.tiers[0]})
    return Probing(
        model=find_model_or_file(model), task=found, flags=as_in(trained, found, given), use_preset=preset,
        seeds=seeds, lengths=_numbers(lengths),
    )  # fmt: skip


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(sorted({int(word.replace("_", "")) for word in text.split(",")}))
    except ValueError:
        raise RequestError(f"--lengths {text!r} is not a list of numbers of steps, such as 128,1024.") from None


def _show(document: dict[str, Any]) -> None:
    show = {
        "gradient-flow": _show_flow,
        "dependency-length": _show_dependency,
        "length-extrapolation": _show_extrapolation,
        "training-length": _show_training,
    }
    print(f"{document['model']} ({document['wrapper']}) on {document['task']}, run {document['run_id']}")
    for data in document["probes"]:
        print()
        show[data["probe"]](data)
    for each in document["left_out"]:
        left_out(f"{each['probe']}: {each['reason']}")


def _show_flow(data: dict[str, Any]) -> None:
    print(f"Gradient flow (trained at T = {data['trained_at']:,})")
    print_table(data["measured"], FLOW)
    notes = {row["bounds"]["note"] for row in data["measured"] if row["bounds"]} - {""}
    for note in sorted(notes):
        print(note)


def _show_dependency(data: dict[str, Any]) -> None:
    solved, open_ = data["longest_solved"], data["first_unsolved"]
    reach = "none is solved" if solved is None else f"solved up to T = {solved:,}"
    print(f"Dependency length of {data['family']}: {reach}{'' if open_ else ', the longest there is'}")
    columns = {"variant": field("task"), "T": number("length"), "utility": number("utility", ".3f"),
               "solved": lambda row: "yes" if row["solved"] else "no"}  # fmt: skip
    print_table(data["rungs"], columns)


def _show_extrapolation(data: dict[str, Any]) -> None:
    print(f"Length extrapolation, from T = {data['trained_at']:,}")
    metric = data["metric"]
    columns = {"T": number("length"), "×": field("factor"), metric: lambda row: metric_text(metric, row["value"]),
               "utility": number("utility", ".3f")}  # fmt: skip
    print_table(data["lengths"], columns)


def _show_training(data: dict[str, Any]) -> None:
    factor = data["solved_at"]
    print(f"Training length of {data['task']}: {f'solved at × {factor}' if factor else 'not solved'}")
    columns = {"×": field("factor"), "training": field("training"), "seconds": number("seconds", ",.0f"),
               "utility": number("utility", ".3f"), "solved": lambda row: "yes" if row["solved"] else "no"}  # fmt: skip
    print_table(data["rungs"], columns)


def _scientific(name: str, part: Any = None) -> Any:
    def cell(row: dict[str, Any]) -> str:
        value = row[name] if part is None or row[name] is None else row[name][part]
        return "–" if value is None else f"{value:.3g}"

    return cell


FLOW: Cells = {
    "": lambda row: row["when"],
    "T": number("length"),
    "‖∂loss/∂x‖ at the end": _scientific("input", FIRST),
    "at the start": _scientific("input", LAST),
    "‖∂loss/∂u_0‖": _scientific("initial_state"),
    "gain, low": _scientific("state_gain", "low"),
    "high": _scientific("state_gain", "high"),
    "σ": _scientific("bounds", "sigma"),
    "e^−2σ": _scientific("bounds", "lower"),
    "e^σ": _scientific("bounds", "upper"),
}
