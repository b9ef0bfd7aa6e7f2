"""`bench speed`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.options import Budget, Json
from bench.cli.output import field, print_json, print_table, stderr
from bench.common.text import counted

EPILOG = """Examples:

  python -m bench speed --model fru --against lstm,fru:eager --seq-len 784 --batch 256

  python -m bench speed --model gru --all --budget 100k --seq-len 1024 --batch 32

  python -m bench speed --model fru --against gru --seq-len 256,1024,4096 --plot time.svg
"""


def speed(
    model: Annotated[str, typer.Option("--model", "-m", help="The model that others are compared with.")] = "fru",
    against: Annotated[str, typer.Option(help="Its rivals, with commas; gru:torch is a backend of gru.")] = "lstm,gru",
    every: Annotated[bool, typer.Option("--all", help="Every registered model is a rival.")] = False,
    seq_len: Annotated[str, typer.Option(help="Steps of a sequence; several with commas.")] = "784",
    batch: Annotated[int, typer.Option(help="Sequences in a batch.")] = 256,
    input_size: Annotated[int, typer.Option(help="Values a step.")] = 1,
    width: Annotated[int | None, typer.Option(help="One width for all.", show_default="each model's default")] = None,
    budget: Budget = None,
    wrapper: Annotated[
        str | None, typer.Option(help="With a budget: plain or residual.", show_default="the paper's")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting, for the models that have it.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or one of several: cuda:1.")] = "cpu",
    repeats: Annotated[int, typer.Option(help="Turns of each contender.")] = 5,
    plot: Annotated[Path | None, typer.Option(help="Draw time against length: .png, .svg, .html.")] = None,
    as_json: Json = False,
) -> None:
    """Measure time and memory of a training step side by side, as ratios."""
    from bench.catalog.registry import model_names
    from bench.speed import measure, table

    if plot is not None:
        table.check_place(plot)
    rivals = [name for name in model_names() if name != model] if every else _words(against)
    changes = measure.parse_changes([model, *rivals], assignments or [])
    common: dict[str, Any] = {"batch": batch, "input_size": input_size, "device": device, "repeats": repeats}
    common |= {"width": width, "budget": budget, "wrapper": wrapper, "changes": changes}
    setups = [measure.Setup(seq_len=steps, **common) for steps in _lengths(seq_len)]
    reports = []
    for setup in setups:
        stderr.print(f"Measuring {counted(1 + len(rivals), 'model')} at {counted(setup.seq_len, 'step')} …")
        reports.append(measure.measure([model, *rivals], setup, _say))
        if not as_json:
            _show(reports[-1])
    if as_json:
        print_json(reports[0] if len(reports) == 1 else reports)
    if plot is not None:
        table.plot(reports, plot)
        stderr.print(f"Wrote {plot}.", markup=False)


def _say(name: str, seconds: float) -> None:
    stderr.print(f"{name}: its first train step took {1e3 * seconds:,.1f} ms", markup=False)


def _show(report: dict[str, Any]) -> None:
    from bench.speed import table

    rows = table.rows(report)
    print(table.conditions(report))
    print_table(rows, {heading: field(heading) for heading in rows[0]})
    if report["busy"]:
        print(f"Do not trust these numbers: {'; '.join(report['busy'])}")


def _lengths(text: str) -> list[int]:
    from bench.common.errors import RequestError

    try:
        lengths = [int(word) for word in _words(text)]
    except ValueError:
        lengths = []
    if not lengths:
        raise RequestError(f"--seq-len {text!r}: give whole numbers, with commas between them.")
    return lengths


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
