"""What a change does to the boards: the rows and ranks that move, as Markdown for a pull request."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.catalog.names import display_name
from bench.common.errors import RequestError
from bench.common.root import ROOT
from bench.common.text import counted, one_line
from bench.publishing.import_published import PUBLISHED, RANKING
from bench.reports.leaderboard_document import ALL
from bench.runs.code_version import NoCommitError, git

Board = Mapping[str, Any]
"""A board as `leaderboard.json` has it: suite, tier, block, rows."""
Row = Mapping[str, Any]
Place = tuple[str, str, str]
NEW, GONE = "new", "gone"
COLUMNS = ("rank", "score", "95% interval", "parameters", "tasks", "seeds", "failures", "verification")
SHARED = "Two entries share ranks where the data do not tell them apart."


def boards_before(against: str) -> list[Board]:
    """Return the boards that a change is compared with.

    Args:
        against: a `leaderboard.json` that `bench site` wrote, or a commit whose published rankings are read.

    Raises:
        RequestError: it is neither.
    """
    path = Path(against)
    return _saved(path) if path.is_file() else list(_published(against))


def _saved(path: Path) -> list[Board]:
    try:
        boards = json.loads(path.read_text(encoding="utf-8"))["boards"]
        for board in boards:
            _place(board), [_shown(row) for row in board["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path} is no leaderboard.json that `bench site` wrote: {error!r}.") from error
    return list(boards)


def _published(commit: str) -> Iterator[Board]:
    folder = PUBLISHED.relative_to(ROOT).as_posix()
    try:
        found = git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}")
        listed = git("ls-tree", "-r", "--name-only", "--full-tree", found, "--", f"{folder}/")
        for path in listed.splitlines():
            if path.endswith(f"/{RANKING}"):
                suite, tier = path.split("/")[-3:-1]
                yield from _contests(suite, tier, json.loads(git("show", f"{found}:{path}")))
    except NoCommitError as error:
        message = f"{commit!r} is neither a file nor a commit whose rankings can be read: {error}"
        raise RequestError(message) from error


def _contests(suite: str, tier: str, document: Mapping[str, Any]) -> Iterator[Board]:
    """Yield the boards of an exported ranking, which has one for each wrapper or, of protocol 1, one of all."""
    blocks = {ALL: document} if "rows" in document else document
    for block, board in blocks.items():
        yield {"suite": suite, "tier": tier, "block": block, "rows": board["rows"]}


def changes(before: Sequence[Board], after: Sequence[Board], against: str) -> str:
    """Return Markdown with a table for each board on which something moves.

    Args:
        against: what `before` is called.
    """
    old, new = ({_place(board): board["rows"] for board in boards} for boards in (before, after))
    tables = {place: _moved(old.get(place, []), new.get(place, [])) for place in dict.fromkeys([*new, *old])}
    moved = {place: rows for place, rows in tables.items() if rows}
    lines = ["## What changes on the boards", ""]
    same = len(tables) - len(moved)
    lines += [f"Compared with {_code(against)}: {counted(len(moved), 'board')} changed, {same} as before. {SHARED}", ""]
    for place, rows in moved.items():
        lines += _table(place, rows, len({_key(row) for row in [*old.get(place, []), *new.get(place, [])]}))
    return "\n".join(lines).rstrip() + "\n"


def _place(board: Board) -> Place:
    return board["suite"], board["tier"], board["block"]


def _key(row: Row) -> tuple[str, ...]:
    return row["model"], row["wrapper"], row["tuning"], row["settings"]


def _moved(before: Sequence[Row], after: Sequence[Row]) -> list[list[str]]:
    """Return the cells of each row that differs in what is shown of it: the new board's order, then what is gone."""
    old, new = ({_key(row): row for row in rows} for rows in (before, after))
    found = []
    for key in dict.fromkeys([*new, *old]):
        some = new.get(key) or old[key]
        was, now = (_shown(rows.get(key, some)) for rows in (old, new))
        note = GONE if key not in new else NEW if key not in old else ""
        if was != now or note:
            found.append([_name(some), *map(_arrow, was, now), note or "moved"])
    return found


def _shown(row: Row) -> tuple[str, ...]:
    """Return the cells of a row under COLUMNS."""
    low, high = row["rank_low"], row["rank_high"]
    interval = "–" if row["score_low"] is None else f"{row['score_low']:.1f} – {row['score_high']:.1f}"
    return (
        "–" if low is None else str(low) if low == high else f"{low}–{high}",
        "–" if row["score"] is None else f"{row['score']:.1f}",
        interval,
        f"{row['params']:,.0f}",
        f"{row['tasks_done']} of {row['tasks_total']}",
        str(row["seeds"]),
        str(row["failures"]),
        _code(row["verification"]),
    )


def _arrow(was: str, now: str) -> str:
    return now if was == now else f"{was} → **{now}**"


def _name(row: Row) -> str:
    tuned = row["tuning"] if row["tuning"] == "tuned" else ""
    return _code(" ".join(filter(None, [display_name(row["model"]), tuned, row["settings"], f"({row['wrapper']})"])))


def _code(text: str) -> str:
    """Return foreign text as code in a table, where it is neither markup nor calls anybody."""
    shown = one_line(text).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def _table(place: Place, rows: Sequence[Sequence[str]], entries: int) -> list[str]:
    suite, tier, block = place
    heads = ["entry", *COLUMNS, "change"]
    lines = [f"### {suite} at {tier}" + (f", {block}" if block != ALL else ""), ""]
    lines += [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
    same = entries - len(rows)
    return [*lines, "", *([f"{same} of {counted(entries, 'entry')} as before.", ""] if same else [])]
