"""The leaderboard in the browser: `python -m bench app`. It reads the database and never writes to it."""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

HERE = Path(__file__).resolve().parent
VIEWS = HERE / "views"  # not "pages", which Streamlit would serve by itself until somebody has opened the app

st.set_page_config(page_title="Long-dependency leaderboard", page_icon="〰️", layout="wide")
page = st.navigation(
    [
        st.Page(VIEWS / "leaderboard.py", title="Leaderboard", icon=":material/leaderboard:", default=True),
        st.Page(VIEWS / "task.py", title="Tasks", icon=":material/quiz:"),
        st.Page(VIEWS / "architecture.py", title="Architectures", icon=":material/account_tree:"),
        st.Page(VIEWS / "compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page(VIEWS / "run.py", title="Runs", icon=":material/timeline:"),
        st.Page(VIEWS / "studies.py", title="Studies", icon=":material/tune:"),
        st.Page(VIEWS / "submit.py", title="Submit", icon=":material/upload_file:"),
    ],
    position="top",
)
st.html(HERE / "style.css")
page.run()
