"""Show the docstring of one of our files. Prose is reflowed; indented blocks (equations, tables) stay as they are."""

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
    """Yield (is indented, text) for each paragraph, without the indentation and without line breaks in prose."""
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        if all(line.startswith("    ") for line in lines):
            yield True, "\n".join(line[4:].rstrip() for line in lines)
        else:
            yield False, " ".join(line.strip() for line in lines)


def prose(text: str) -> str:
    """Return the text as Markdown, with everything but `code` escaped."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") and len(part) > 2 else plain(part) for part in parts)


def sentence(text: str, start: str) -> str | None:
    """Return the rest of the first sentence that begins with `start`, such as `State:`, without the full stop."""
    found = re.search(rf"(?<![\w-]){re.escape(start)}\s+(.+?){SENTENCE_END}", text, re.DOTALL)
    return " ".join(found[1].split()) if found else None
