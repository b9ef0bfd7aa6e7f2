"""What can be run: `bench models` and `bench tasks`."""

from typing import Annotated, Any

import typer

from bench.cli.options import TIER_NAMES, Csv, Json
from bench.cli.output import field, number, print_json, print_rows, stderr
from bench.common.kept_answers import kept
from bench.common.text import word

MODELS_EPILOG = """Examples:

  python -m bench models

  python -m bench models --task copy --budget 10k

  python -m bench models fru
"""
TASKS_EPILOG = """Examples:

  python -m bench tasks

  python -m bench tasks mix-sin
"""


def models(
    name: Annotated[
        str | None, typer.Argument(help="Show the settings of this model: its name, or a path to a .py file.")
    ] = None,
    task: Annotated[str, typer.Option("--task", "-t", help="The task that parameters are counted for.")] = "digits",
    budget: Annotated[str | None, typer.Option(help=f"Fit to {TIER_NAMES}, and show the settings.")] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the architectures, with their papers and parameter counts; or show what one can be set to."""
    if name is not None:
        _show_settings(name, task, budget, as_json=as_json, as_csv=as_csv)
        return

    def listed() -> object:
        from bench.reports.listings import describe_models

        return describe_models(task, budget)

    rows, broken = kept(listed, "models", task, budget)
    columns = {
        "model": field("name"),
        "in papers": field("display_name"),
        "family": field("family"),
        "wrapper": field("wrapper"),
        "causal": lambda row: "yes" if row["causal"] else "no",
        "params": number("default_params"),
        "year": lambda row: str(row["paper"]["year"]),
        "paper": lambda row: row["paper"]["title"],
    }
    if budget is not None:
        fitted = {"fitted": number("fitted_params"), "settings": _shown("fitted_config"), "note": field("note")}
        columns = {name: columns[name] for name in ("model", "wrapper")} | fitted
    print_rows(rows, columns, as_json=as_json, as_csv=as_csv, empty="No models.")
    _report(broken)


def _show_settings(name: str, task: str, budget: str | None, *, as_json: bool, as_csv: bool) -> None:
    from bench.reports.model_settings import describe_settings

    columns = {
        "setting": field("setting"),
        f"at {budget}" if budget else "default": lambda row: word(row["value"]),
        "of": field("of"),
        "type": field("type"),
        "tuning tries": field("tuning"),
        "meaning": field("meaning"),
    }
    rows = describe_settings(name, task, budget)
    print_rows(rows, columns, as_json=as_json, as_csv=as_csv, empty="It has no settings.", kept=("setting", "meaning"))


def tasks(
    name: Annotated[str | None, typer.Argument(help="Show this task in full, with a sample.")] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the tasks, with their lengths, metrics and trivial scores; or show one in full."""
    if name is not None:
        _show_task(name, as_json=as_json)
        return

    def listed() -> object:
        from bench.reports.listings import describe_tasks

        return describe_tasks()

    rows, broken = kept(listed, "tasks")
    columns = {
        "task": field("name"),
        "length": number("seq_len"),
        "input": field("input"),
        "output": field("output"),
        "metric": field("metric"),
        "trivial": number("chance", ".4g"),
        "solved": number("solved", ".4g"),
        "here": lambda row: "yes" if row["available"] else "no",
        "what": field("summary"),
        "source": field("source"),
    }
    print_rows(rows, columns, as_json=as_json, as_csv=as_csv, empty="No tasks.")
    _report(broken)


def _show_task(name: str, *, as_json: bool) -> None:
    from bench.reports.shortcuts import reached_text
    from bench.reports.task_card import describe_task

    task = describe_task(name)
    if as_json:
        print_json(task)
        return
    sample = task["sample"]
    lines = {
        "task": f"{task['name']} (version {task['version']}), of {', '.join(task['variants'])}",
        "input": f"{task['seq_len']:,} steps of {task['input']}",
        "output": task["output"],
        "metric": f"{task['metric']}; trivial {task['chance']:.4g}, solved {task['solved']:.4g}",
        "source": f"{task['source']}, licence: {task['license']}",
        "cite": task["citation"],
        "here": task["missing"] or "yes",
        **task["facts"],
        "sample": f"{sample['length']:,} steps; the first: {sample['x']}",
        "answer": str(sample["y"]),
    }
    if task["shortcuts"]:
        found = [f"{row['name']} {reached_text(task['metric'], row)}" for row in task["shortcuts"]]
        lines["no order"] = f"{', '.join(found)}: what takes no memory of order reaches, and its score if not 0"
    print(task["definition"], end="\n\n")
    for heading, text in lines.items():
        print(f"{heading:8} {text}")


def _shown(name: str) -> Any:
    return lambda row: " ".join(f"{key}={value}" for key, value in (row[name] or {}).items() if value is not None)


def _report(broken: list[str]) -> None:
    for message in broken:
        stderr.print(f"bench: {message}", markup=False)
