"""The leaderboard in the browser: `python -m bench app`. It reads the database and never writes to it."""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from leaderboard_app.widgets.grid import enable_sorting

HERE = Path(__file__).resolve().parent
VIEWS = HERE / "views"  # not "pages": Streamlit would serve such a folder by itself until somebody has opened the app


def _page(name: str, title: str, icon: str, *, default: bool = False) -> st.Page:
    return st.Page(VIEWS / name / "page.py", title=title, icon=icon, url_path=name, default=default)


st.set_page_config(page_title="Long-dependency leaderboard", page_icon="〰️", layout="wide")
pages = [
    _page("leaderboard", "Leaderboard", ":material/leaderboard:", default=True),
    _page("task", "Tasks", ":material/quiz:"),
    _page("architecture", "Architectures", ":material/account_tree:"),
    _page("compare", "Compare", ":material/compare_arrows:"),
    _page("run", "Runs", ":material/timeline:"),
    _page("audit", "Audit", ":material/fact_check:"),
    _page("studies", "Studies", ":material/tune:"),
    _page("submit", "Submit", ":material/upload_file:"),
]
page = st.navigation(pages, position="top")
st.html(HERE / "style.css")
with st.container(horizontal=True, key="pages"):  # style.css shows it on narrow screens
    for each in pages:
        st.page_link(each, label=each.title, icon="", width="content")
page.run()
enable_sorting()
