"""Submit a bundle. The page checks its structure; a maintainer's command checks whether its results are true."""

import shlex
from pathlib import Path

import pandas as pd
import streamlit as st

from bench.bundle.errors import BundleError
from bench.bundle.read import LARGEST_BUNDLE, Bundle, read_bundle
from bench.catalog.names import display_name
from bench.common.root import ROOT
from db.store import Store
from leaderboard_app.data import open_store
from leaderboard_app.views.submit.inbox import InboxError, keep
from leaderboard_app.widgets.text import plain

HOW_TO = """# 1. tune with the suite's budget, then train seeds 0 to 4 on each of its tasks
python -m bench tune --suite quick-v2 --models my-rnn --budget 10k --save-preset
python -m bench suite --suite quick-v2 --models my-rnn --seeds 5 --budget 10k --preset

# 2. list the ids of its runs: send all of them, including the failed ones
python -m bench runs --model my-rnn

# 3. pack them into a bundle, and check it as the host does
python -m bench bundle RUN RUN RUN RUN RUN -o my.zip --check"""
THEN = """
A maintainer verifies the bundle before it counts. An entry is **self-reported** once the bundle agrees with itself,
with the data and with its own weights. It is **rescored** once its weights were scored on samples that nobody else has
seen. It is **reproduced** once it was trained again from scratch, with a result that agrees.
"""
LABEL = "4. The bundle, which you license under CC BY 4.0 by sending it"


def render(store: Store) -> None:
    st.title("Submit a result")
    st.markdown(
        "Run a registered architecture on seeds 0 to 4, pack the runs into a bundle, and drop it here. "
        "A new architecture first needs a pull request with one file. `python -m bench new-model my-rnn` creates the "
        "file, and `python -m bench check models/my_rnn.py` says what is missing."
    )
    st.code(HOW_TO, language="shell", wrap_lines=True)
    upload = st.file_uploader(LABEL, type="zip", max_upload_size=LARGEST_BUNDLE >> 20, key="bundle")
    if upload is not None:
        _receive(upload.getvalue(), store)
    st.subheader("What happens then", anchor=False)
    st.markdown(THEN)


def _receive(data: bytes, store: Store) -> None:
    try:
        bundle = read_bundle(data)
    except BundleError as error:
        st.error(f"Refused: {plain(error)}", icon=":material/block:")
        return
    st.success(f"The bundle's structure is right. Its identity is {bundle.identity}.", icon=":material/check:")
    counts = {"parameters": st.column_config.NumberColumn(format="localized")}
    st.dataframe(_claims(bundle), hide_index=True, column_config=counts, width="stretch")
    try:
        path = keep(data, bundle, store)
    except InboxError as error:
        st.error(plain(error), icon=":material/inbox:")
        return
    st.markdown("It waits for a maintainer, who verifies and imports it with:")
    st.code(_commands(path), language="shell", wrap_lines=True)


def _claims(bundle: Bundle) -> pd.DataFrame:
    return pd.DataFrame([
        {
            "architecture": display_name(claim.record.model),
            "task": claim.record.task,
            "tier": claim.record.budget or "no tier",
            "seed": claim.record.seed,
            "status": claim.record.status,
            "claimed": claim.record.metrics["test"].value if claim.record.finished else None,
            "parameters": claim.record.params.total,
        }
        for claim in bundle.claims
    ])  # fmt: skip


def _commands(path: Path) -> str:
    """Return the maintainer's commands, for a shell in the project's folder."""
    shown = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    return "\n".join(shlex.join(["python", "-m", "bench", command, shown]) for command in ("verify", "import"))


render(open_store())
