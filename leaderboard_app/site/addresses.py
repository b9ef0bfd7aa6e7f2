"""Where each view of the app is among the static pages.

The parts of the app name a view by its address there, `architecture?name=fru`. Here it is `architecture/fru.html`.
"""

import re
from hashlib import sha256
from posixpath import relpath
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from bench.catalog.suites import Suite, find_suite
from bench.ranking.contest import WRAPPERS
from leaderboard_app.views.leaderboard.controls import ALL
from leaderboard_app.widgets.links import HOME

UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST = 60  # characters of a file's stem
LISTS = {"task": "tasks.html", "architecture": "architectures.html", "run": "runs.html", "audit": "audit.html"}
"""View → the page without a choice: a list, or the first of what there is to choose from."""


def path_of(address: str) -> str:
    """Return where a view is, from the root of the site.

    Args:
        address: the view's address in the app, as `page_url` makes it.

    Raises:
        ValueError: the site has no such view.
    """
    parts = urlsplit(address)
    view, query = parts.path.removeprefix("./") or HOME, parse_qs(parts.query)
    match view, {name: values[0] for name, values in query.items()}:
        case "leaderboard", {"suite": "by-task", "task": task}:
            return f"task/{stem(task)}.html"
        case "leaderboard", {"suite": suite, "tier": tier, **more}:
            return board(suite, tier, more.get("block"))
        case "leaderboard", {}:
            return "index.html"
        case "compare", _:
            return f"compare.html?{urlencode(query, doseq=True)}" if query else "compare.html"
        case "task" | "architecture", {"name": name}:
            return f"{view}/{stem(name)}.html"
        case "run", {"id": run_id}:
            return f"run/{stem(run_id)}.html"
        case "run", {"model": model, **more}:
            return f"runs/{stem(model)}.html" + (f"?task={quote(more['task'])}" if more else "")
        case "audit", {"suite": suite, "tier": tier, **more}:
            return f"audit/{stem(suite)}-{tier}.html" + (f"#{stem(more['entry'])}" if more else "")
        case _ if view in LISTS and not query:
            return LISTS[view]
    raise ValueError(f"the site has no view {address!r}")


def board(suite: str, tier: str, block: str | None = None) -> str:
    """Return where a board is. Without a block, it is that of the suite's first block."""
    told = [] if block in (None, first_block(find_suite(suite))) else [block]
    return f"board/{'-'.join([stem(suite), tier.replace(' ', '-'), *told])}.html"


def first_block(suite: Suite) -> str:
    """Return the block that a suite's board shows first."""
    return ALL if suite.protocol == 1 else WRAPPERS[0]


def stem(name: str) -> str:
    """Return a name as that of a file: the name itself where any host can serve it, else with a hash.

    >>> stem("mix-sin"), stem("../mine")
    ('mix-sin', 'mine-4fde3012')
    """
    safe = UNSAFE.sub("-", name).strip("-.")[:LONGEST]
    return safe if safe == name else f"{safe}-{sha256(name.encode()).hexdigest()[:8]}".lstrip("-")


def between(folder: str, path: str) -> str:
    """Return the address of a page as seen from the pages of a folder, so that the site works anywhere on a host."""
    return relpath(path, folder or ".")
