"""Addresses within the app. They are relative, so that they hold behind a reverse proxy with a path of its own."""

from urllib.parse import urlencode

HOME = "leaderboard"


def page_url(page: str, **parameters: str | list[str]) -> str:
    """`page_url("run", id="…")` is `run?id=…`: a page by its file's name, and the query that reproduces a view of it.

    Values are quoted; a list repeats its parameter.
    """
    query = urlencode(parameters, doseq=True)
    path = "./" if page == HOME else page
    return f"{path}?{query}" if query else path
