"""What `bench speed` measured, as a table in the terminal and as a chart of time against length."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.common.errors import RequestError
from bench.speed.measure import QUANTITIES

if TYPE_CHECKING:
    from altair import LayerChart


def conditions(report: Mapping[str, Any]) -> str:
    """Return a line that says what was measured, and on what."""
    setup = report["setup"]
    sizes = f"T={setup['seq_len']}, B={setup['batch']}, D={setup['input_size']}, {report['dtype']}"
    return f"{sizes}; {report['threads']} threads, {report['device']}, torch {report['versions']['torch']}"


def rows(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row for each contender: its figures, and their ratios to the first model's figures."""
    return [
        _row(name, figures, report["ratios"].get(name, dict.fromkeys(QUANTITIES, 1.0)))
        for name, figures in report["measured"].items()
    ]


def _row(name: str, figures: Mapping[str, Any], times: Mapping[str, float]) -> dict[str, str]:
    forward, train_step = (f"{figures[key]['median']:,.1f} ms" for key in ("forward", "train_step"))
    of_forward, of_train_step, of_parameter, of_memory = (f"{times[key]:,.2f}" for key in QUANTITIES)
    return {
        "model": name,
        "forward": forward,
        "× forward": of_forward,
        "train step": train_step,
        "× train step": of_train_step,
        "× per parameter": of_parameter,
        "peak memory": f"{figures['peak_memory'] / 2**20:,.1f} MiB",
        "× memory": of_memory,
        "stream step": "–" if figures["step"] is None else f"{figures['step']:.3f} ms",
        "parameters": f"{figures['parameters']:,}",
    }


def check_place(path: Path) -> None:
    """Check that a chart's folder exists, before hours of measuring.

    Raises:
        RequestError: it does not exist.
    """
    if not path.parent.is_dir():
        raise RequestError(f"can't write {path}: there is no folder {path.parent}. Make it, or give another place.")


def plot(reports: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the train step's time against the sequence length, as PNG, SVG, HTML or JSON.

    Args:
        reports: what `measure` returned, one report for each length.

    Raises:
        RequestError: the chart can't be written, or a package that it needs is missing.
    """
    try:
        chart(reports).save(str(path))
    except ImportError as error:
        raise RequestError(f"a chart needs altair and vl-convert-python: {error}.") from error
    except OSError as error:
        raise RequestError(f"can't write {path}: {error.strerror}. Give another place.") from error
    except ValueError as error:
        raise RequestError(
            f"can't write {path}: {error}. Give a name that ends in .png, .svg, .html or .json."
        ) from error


def chart(reports: Sequence[Mapping[str, Any]]) -> "LayerChart":
    import altair as alt

    points = [
        {"T": report["setup"]["seq_len"], "ms": figures["train_step"]["median"], "model": name}
        for report in reports
        for name, figures in report["measured"].items()
    ]
    lines = alt.Chart(alt.Data(values=points)).encode(
        x=alt.X("T:Q", title="steps of the sequence").scale(type="log", base=2),
        y=alt.Y("ms:Q", title="ms per train step").scale(type="log"),
        color=alt.Color("model:N", title=None, sort=None),
    )
    return lines.mark_line() + lines.mark_point(filled=True)
