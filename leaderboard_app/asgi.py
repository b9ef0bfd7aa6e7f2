"""The ASGI app. It reads the models and the database before the first visitor comes, so that nobody waits."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.common.errors import RequestError
from bench.common.garbage import set_aside
from db.errors import StoreError
from db.store import Store
from leaderboard_app.data import load_rows, load_tiers
from leaderboard_app.views.leaderboard import charts, pictures  # noqa: F401 - what the first view draws with


@asynccontextmanager
async def warmed(_: Any) -> AsyncIterator[None]:
    with suppress(StoreError, RequestError):  # the pages show the error
        _warm()
    # Streamlit collects garbage after every click. Freezing what was read above spares the collector from scanning it.
    gc.collect()
    set_aside()
    yield


def _warm() -> None:
    """Rank every board, and draw one chart, so that the drawing packages are imported too."""
    store = Store(read_only=True)
    boards = [load_rows(store, suite, tier) for suite, tiers in load_tiers(store).items() for tier in tiers]
    charts.intervals(tuple(boards[-1]) if boards else ())


app = st.App(Path(__file__).resolve().parent / "app.py", lifespan=warmed)
