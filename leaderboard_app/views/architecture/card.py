"""An architecture's card: its paper, its equations, its cost, its file."""

import inspect

import streamlit as st

from bench.catalog.registry import FoundModel, find_model, model_names
from bench.common.errors import RequestError
from bench.common.root import ROOT
from leaderboard_app.widgets import docstrings
from leaderboard_app.widgets.tables import code, facts, outside_link
from leaderboard_app.widgets.text import plain


def find(name: str) -> FoundModel | None:
    """Return the architecture if exactly this name is registered in this copy of the code; otherwise say why not."""
    if name not in model_names():
        st.info(
            "This architecture is not in this copy of the code: its results came from its author's own file. "
            "The stored results are below.",
            icon=":material/inventory_2:",
        )
        return None
    try:
        return find_model(name)
    except RequestError as error:
        st.error(f"{plain(error)}. Its stored results are below.", icon=":material/broken_image:")
        return None


def show(found: FoundModel) -> None:
    text = docstring(found)
    docstrings.show(text)
    facts(facts_of(found, text), alt="Facts of the architecture")
    with st.expander(f"The code: {found.path.relative_to(ROOT)}"):
        st.code(found.path.read_text(encoding="utf-8"), language="python", height=500)
        st.caption(f"SHA-256 {found.source_hash}")


def docstring(found: FoundModel) -> str:
    module = inspect.getmodule(found.cls)
    return (module and module.__doc__) or ""


def facts_of(found: FoundModel, text: str) -> dict[str, str]:
    """Return what is to know of the architecture, as Markdown.

    Args:
        text: its docstring.
    """
    cls = found.cls
    rows = {
        "paper": f"{outside_link(cls.paper.title, cls.paper.url)}, {cls.paper.year}",
        "family": plain(cls.family),
        "causal": "yes" if cls.causal else "no: an output may depend on later inputs",
        "step by step": "yes" if cls.is_recurrent() else "no: it needs the whole sequence",
        "state": plain(docstrings.sentence(text, "State:") or "see its file"),
        "time": plain(docstrings.sentence(text, "Time") or "see its file"),
        "wrapper of its paper": plain(cls.wrapper),
    }
    needs = ", ".join(code(package) for package in cls.requires)
    differs = {f"differs from its authors' code: {plain(what)}": plain(why) for what, why in cls.deviations.items()}
    return rows | ({"packages": needs} if needs else {}) | differs
