"""The leaderboard in the browser: `python -m bench app`. It reads the database and never writes to it."""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from db.errors import StoreError
from db.store import Store
from leaderboard_app import board

st.set_page_config(page_title="Long-dependency leaderboard", page_icon="〰️", layout="wide")
try:
    store = Store(read_only=True)
    runs = store.runs()
except StoreError as error:
    st.error(str(error))
    st.stop()
board.render(store, runs)
