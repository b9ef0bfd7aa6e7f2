"""Reading back the pages of a site: their tables, their text, and what they link to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from posixpath import dirname, join, normpath
from threading import Thread
from urllib.parse import unquote, urlsplit

ADDRESSES = ("href", "src", "data-chart", "data-href")


@dataclass
class Cell:
    text: str = ""
    links: list[str] = field(default_factory=list)


@dataclass
class Grid:
    caption: str
    rows: list[list[Cell]]
    """The headings, then the rows below them."""

    def column(self, name: str) -> list[Cell]:
        place = [cell.text for cell in self.rows[0]].index(name)
        return [row[place] for row in self.rows[1:]]

    def texts(self, name: str) -> list[str]:
        return [cell.text for cell in self.column(name)]

    def numbers(self, name: str) -> list[float | None]:
        return [float(text.replace(",", "")) if text else None for text in self.texts(name)]


class PageReader(HTMLParser):
    """One page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: list[Grid] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.addresses += [value for name in ADDRESSES if (value := found.get(name))]
        self._open.append(tag)
        match tag:
            case "table":
                self.tables.append(Grid("", []))
            case "tr":
                self.tables[-1].rows.append([])
            case "td" | "th":
                self.tables[-1].rows[-1].append(Cell())
            case "a" if self.tables and "table" in self._open:
                self.tables[-1].rows[-1][-1].links.append(found["href"] or "")
            case "input" | "meta" | "link" | "br":
                self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            return
        self.text += data
        if "caption" in self._open:
            self.tables[-1].caption += data
        elif "td" in self._open or ("th" in self._open and "tr" in self._open):
            cell = self.tables[-1].rows[-1][-1]
            cell.text = f"{cell.text} {data.strip()}".strip()

    def table(self, caption: str) -> Grid:
        (found,) = [each for each in self.tables if each.caption == caption]
        return found


def pages(site: Path) -> Iterator[Path]:
    yield from sorted(site.rglob("*.html"))


def broken(site: Path) -> list[str]:
    """Each address in a site's pages that leads to no file of it, with the page. Other hosts are not asked."""
    return [
        f"{page.relative_to(site)}: {address}"
        for page in pages(site)
        for address in dict.fromkeys(PageReader(page).addresses)
        if not _leads_to_a_file(site, page, address)
    ]


def _leads_to_a_file(site: Path, page: Path, address: str) -> bool:
    parts = urlsplit(address)
    if parts.scheme in ("https", "data"):
        return True
    path = normpath(join(dirname(page.relative_to(site).as_posix()), unquote(parts.path)))
    return not parts.scheme and not path.startswith("..") and (site / path).is_file()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """The address of a server that knows nothing but files."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
