"""Showing text that somebody else wrote: names, settings and reasons from the database."""

import string

ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in string.punctuation} | {"\n": " ", "\r": " "})


def plain(text: object) -> str:
    """Text for Streamlit's Markdown that shows as it is, on one line: no links, images, directives or formulas."""
    return str(text).translate(ESCAPES)
