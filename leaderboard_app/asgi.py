"""What serves the app: before the first visitor comes it reads the models and the database, so that nobody waits."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.common.errors import RequestError
from db.errors import StoreError
from db.store import Store
from leaderboard_app.data import load_board, load_tiers
from leaderboard_app.views.leaderboard import charts


@asynccontextmanager
async def warmed(_: Any) -> AsyncIterator[None]:
    with suppress(StoreError, RequestError):  # the pages say what is wrong
        _warm()
    # Streamlit has the garbage collected after every click; what was read above stays, and need not be looked through.
    gc.collect()
    gc.freeze()
    yield


def _warm() -> None:
    """Rank every board, and draw one, which also imports what draws."""
    store = Store(read_only=True)
    boards = [load_board(store, suite, tier) for suite, tiers in load_tiers(store).items() for tier in tiers]
    charts.intervals(boards[-1].rows if boards else ())


app = st.App(Path(__file__).resolve().parent / "app.py", lifespan=warmed)
