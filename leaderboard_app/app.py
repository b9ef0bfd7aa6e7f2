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
        st.Page(PAGES / "task.py", title="Tasks", icon=":material/quiz:"),
        st.Page(PAGES / "architecture.py", title="Architectures", icon=":material/account_tree:"),
        st.Page(PAGES / "compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page(PAGES / "run.py", title="Runs", icon=":material/timeline:"),
        st.Page(PAGES / "studies.py", title="Studies", icon=":material/tune:"),
        st.Page(PAGES / "submit.py", title="Submit", icon=":material/upload_file:"),
    ],
    position="top",
).run()
