"""Showing tuning in progress: a live table on a terminal, a line now and then elsewhere."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from bench.cli.output import stderr
from bench.common.text import counted, duration, metric_text

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from bench.tuning.session import Running, Session
    from bench.tuning.study import Owner

SHOWN = 10  # of the trials that have ended
SECONDS_BETWEEN_DRAWINGS = 0.25
SECONDS_BETWEEN_LINES = 30
COLUMNS = ("study", "trial", "state", "metric", "best", "steps", "time", "where", "settings")


class Watch:
    """Shows a `Session` on stderr. A trial calls it, and goes on whatever becomes of the picture."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self._rows: deque[tuple[str, ...]] = deque(maxlen=SHOWN)
        self._shown_at = time.monotonic()

    def turn(self, session: "Session") -> None:
        now = time.monotonic()
        if self._live and now - self._shown_at > SECONDS_BETWEEN_DRAWINGS:
            self._draw(self._live, session)
        elif not self._live and now - self._shown_at > SECONDS_BETWEEN_LINES:
            self._say(f"{_summary(session)}{_under_way(session)}")

    def ended(self, session: "Session", owner: "Owner", trial: "FrozenTrial") -> None:
        self._rows.append(_ended_row(owner, trial))
        if self._live:
            self._draw(self._live, session)
        else:
            self._say(f"{_name(owner)}, trial {trial.number}: {_ended_text(owner, trial)}; {_summary(session)}")

    def again(self, running: "Running", reason: str) -> None:
        self._say(f"{_name(running.owner)}, trial {running.proposal.trial.number} is tried again: {reason}")

    def left(self, running: "Running", reason: str) -> None:
        self._say(f"{_name(running.owner)}, trial {running.proposal.trial.number} is left open: {reason}")

    def _say(self, text: str) -> None:
        self._shown_at = time.monotonic()
        with suppress(Exception):
            stderr.print(text, markup=False)

    def _draw(self, live: Live, session: "Session") -> None:
        self._shown_at = time.monotonic()
        table = Table(*COLUMNS, box=None, pad_edge=False, header_style="bold", expand=True)
        for row in (*self._rows, *map(_running_row, session.running.values())):
            table.add_row(*map(escape, row))
        for column in table.columns:
            column.no_wrap = True
        with suppress(Exception):
            live.update(Group(table, escape(_summary(session))), refresh=True)


@contextmanager
def watching() -> Iterator[Watch]:
    """Yield what shows tuning on stderr: a live table if that is a terminal, lines otherwise."""
    if not stderr.is_terminal:
        yield Watch(None)
        return
    with Live(console=stderr, auto_refresh=False, redirect_stdout=False) as live:
        yield Watch(live)


def _running_row(running: "Running") -> tuple[str, ...]:
    owner, trial = running.owner, running.proposal.trial
    return (
        _name(owner), str(trial.number), "running", _value(owner, running.value), _value(owner, owner.best),
        f"{running.step}/{owner.tuning.steps}", duration(time.monotonic() - running.began), running.place or "",
        _settings(trial.params),
    )  # fmt: skip


def _ended_row(owner: "Owner", trial: "FrozenTrial") -> tuple[str, ...]:
    from bench.tuning.settled import STATES

    return (
        _name(owner), str(trial.number), STATES[trial.state], _value(owner, _last(trial)), _value(owner, owner.best),
        str(trial.user_attrs.get("steps", "")), _lasted(trial), trial.user_attrs.get("place") or "",
        trial.user_attrs.get("reason") or _settings(trial.params),
    )  # fmt: skip


def _ended_text(owner: "Owner", trial: "FrozenTrial") -> str:
    from bench.tuning.settled import STATES

    if "reason" in trial.user_attrs:
        return trial.user_attrs["reason"]
    return f"{STATES[trial.state]}, {owner.tuning.base.spec.metric} {_value(owner, _last(trial))} in {_lasted(trial)}"


def _summary(session: "Session") -> str:
    """Say how far the whole session is."""
    words = [f"{session.done} of {counted(session.count, 'trial')} ended"]
    if len(session.owners) == 1:
        (owner,) = session.owners
        words.append(f"best {owner.tuning.base.spec.metric} {_value(owner, owner.best)}")
    if session.pool and session.pool.started < session.pool.workers:
        words.append(
            f"{session.pool.started} of {counted(session.pool.workers, 'worker')} started "
            f"(each takes a processor and {session.pool.gpus:g} GPU)"
        )
    if session.ended and session.began:
        seconds = (time.monotonic() - session.began) / session.ended * (session.count - session.done)
        words.append(f"about {duration(seconds)} left")
    return ", ".join(words)


def _under_way(session: "Session") -> str:
    """Each running trial in a few words."""
    texts = [_running_text(running) for running in session.running.values()]
    return f"; running: {'; '.join(texts)}" if texts else ""


def _running_text(running: "Running") -> str:
    owner = running.owner
    text = f"{_name(owner)} trial {running.proposal.trial.number} at step {running.step} of {owner.tuning.steps}"
    return text if running.value is None else f"{text}, {_value(owner, running.value)}"


def _name(owner: "Owner") -> str:
    return f"{owner.tuning.base.model.name} · {owner.tuning.base.spec.name}"


def _last(trial: "FrozenTrial") -> float | None:
    """Return the trial's value or, if it has none, the last one that it reported."""
    reported = trial.intermediate_values
    return trial.values[0] if trial.values else reported[max(reported)] if reported else None


def _value(owner: "Owner", value: float | None) -> str:
    return metric_text(owner.tuning.base.spec.metric, value)


def _lasted(trial: "FrozenTrial") -> str:
    return duration(trial.duration.total_seconds()) if trial.duration else "–"


def _settings(params: Mapping[str, Any]) -> str:
    short = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in params.items()}
    return " ".join(f"{name}={value}" for name, value in short.items())
