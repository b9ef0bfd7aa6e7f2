"""Showing the docstring of a file of ours: prose flows, what is indented (equations, tables) stays as it is."""

import re
from collections.abc import Iterator

import streamlit as st

from leaderboard_app.widgets.text import plain

SENTENCE_END = r"\.(?=\s|$)"


def show(text: str) -> None:
    for is_indented, block in blocks(text):
        if is_indented:
            st.code(block, language=None, wrap_lines=True)
        else:
            st.markdown(prose(block))


def blocks(text: str) -> Iterator[tuple[bool, str]]:
    """Paragraphs, each with whether it is indented; the indentation and prose's line breaks are taken out."""
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        if all(line.startswith("    ") for line in lines):
            yield True, "\n".join(line[4:].rstrip() for line in lines)
        else:
            yield False, " ".join(line.strip() for line in lines)


def prose(text: str) -> str:
    """Markdown in which nothing but `code` has a meaning."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") and len(part) > 2 else plain(part) for part in parts)


def sentence(text: str, start: str) -> str | None:
    """The rest of the first sentence that begins so, such as `State:` or `Time`, without the full stop."""
    found = re.search(rf"(?<![\w-]){re.escape(start)}\s+(.+?){SENTENCE_END}", text, re.DOTALL)
    return " ".join(found[1].split()) if found else None
