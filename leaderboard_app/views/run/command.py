"""The command that repeats a run. It is stored text, and may come from somebody else, so it is checked first."""

import re
import shlex

import streamlit as st

from db.schema import Run

BENCH_RUN = ["python", "-m", "bench", "run"]
COMMIT = re.compile(r"[0-9a-f]{40}")

FOREIGN = "This is not a command that bench writes. Read it before you run it."
AGAIN = "If the run is recorded already, it is returned, not repeated. To train it again, pass another `--db`."


def show(run: Run) -> None:
    if not is_plain(run.command):
        st.warning(FOREIGN, icon=":material/security:")
        st.code(run.command, language=None, wrap_lines=True)
        return
    st.code("\n".join([*checkout(run), run.command]), language="shell", wrap_lines=True)
    st.caption(AGAIN)


def is_plain(command: str) -> bool:
    """Whether it is one `bench run`, and a shell would see nothing but plain words in it."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return words[: len(BENCH_RUN)] == BENCH_RUN and shlex.join(words) == command


def checkout(run: Run) -> list[str]:
    """Return the checkout of the run's code, or nothing if the code was not exactly a commit."""
    commit = str(run.environment.get("git_commit"))
    return [f"git checkout {commit}"] if COMMIT.fullmatch(commit) and run.environment.get("git_dirty") is False else []
