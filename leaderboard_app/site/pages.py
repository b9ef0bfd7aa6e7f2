"""Pages from Jinja templates. The texts of the app are Markdown with foreign text escaped; here they become HTML."""

import json
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from posixpath import dirname
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

from leaderboard_app.site.addresses import between, path_of
from leaderboard_app.widgets.grid import Score

HERE = Path(__file__).resolve().parent
WIDGETS = HERE.parent / "widgets"
"""Has the templates of what the app shows too."""


class File(NamedTuple):
    """A file of the site."""

    path: str
    """From the root of the site."""
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Page:
    path: str
    template: str
    title: str
    section: str
    """The entry of the navigation that it belongs to: the name of a view of the app."""
    values: Mapping[str, Any] = field(default_factory=dict)

    def file(self) -> File:
        text = environment().get_template(self.template).render(self.values, page=self)
        return File(self.path, text.encode())

    @property
    def root(self) -> str:
        """The way from this page to the root of the site."""
        return "../" * self.path.count("/")


@lru_cache(maxsize=1)
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader([HERE / "templates", WIDGETS]), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"link": link, "markdown": markdown, "embedded": embedded}
    made.filters["kind"] = lambda part: type(part).__name__
    made.tests["score"] = lambda cell: isinstance(cell, Score)
    return made


@pass_context
def link(context: Context, address: str) -> str:
    """Return the address of a view of the app as seen from the page that is rendered."""
    return between(dirname(context["page"].path), path_of(address))


@pass_context
def markdown(context: Context, text: str) -> Markup:
    """Return Markdown as HTML without a paragraph around it. Links to views of the app lead to the pages here."""
    return _html(text, dirname(context["page"].path))


def embedded(value: Any) -> Markup:
    """Return JSON for a script element. No text in it can end the element."""
    return Markup(json.dumps(value, allow_nan=False).replace("<", "\\u003c"))  # noqa: S704 - a script element holds no HTML


@lru_cache(maxsize=2**16)  # pages of runs say nearly the same
def _html(text: str, folder: str) -> Markup:
    """Return Markdown as HTML for the pages of a folder of the site."""
    return Markup(_markdown().renderInline(text, {"folder": folder}))  # noqa: S704 - HTML in it is escaped


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False})
    made.add_render_rule("link_open", _open_link)
    return made


def _open_link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: MutableMapping[str, Any]
) -> str:  # fmt: skip
    token = tokens[index]
    address = str(token.attrGet("href"))
    if address.startswith("https:"):
        token.attrSet("rel", "noopener")
    else:
        token.attrSet("href", between(env["folder"], path_of(address)))
    return renderer.renderToken(tokens, index, options, env)
