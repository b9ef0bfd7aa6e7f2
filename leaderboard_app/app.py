"""The leaderboard in the browser: `python -m bench app`. It reads the database and never writes to it."""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

PAGES = Path(__file__).resolve().parent / "pages"

st.set_page_config(page_title="Long-dependency leaderboard", page_icon="〰️", layout="wide")
st.navigation(
    [
        st.Page(PAGES / "leaderboard.py", title="Leaderboard", icon=":material/leaderboard:", default=True),
    ],
    position="top",
).run()
