"""Show text that somebody else wrote: names, settings and reasons from the database."""

import string

ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in string.punctuation} | {"\n": " ", "\r": " "})


def plain(text: object) -> str:
    """Escape text for Streamlit's Markdown: it shows literally, on one line, without links, images or formulas."""
    return str(text).translate(ESCAPES)
