"""Reading back the tables that the app draws as HTML."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from streamlit.testing.v1 import AppTest


@dataclass(frozen=True)
class Grid:
    caption: str
    columns: dict[str, list[str]]
    """Heading → the texts below it."""
    links: dict[str, list[str]]
    """Heading → the addresses below it."""
    faded: list[bool]

    def names(self, column: str = "architecture") -> list[str]:
        """What the links of a column are about."""
        return [parse_qs(urlsplit(url).query)["name"][0] for url in self.links[column]]

    def numbers(self, column: str) -> list[float | None]:
        return [float(text.replace(",", "")) if text else None for text in self.columns[column]]


def grids(app: AppTest) -> list[Grid]:
    """Every table of a page; that it is well-formed XML shows that no text in it is taken for markup."""
    return [grid for each in app.html for grid in read(each.value)]


def read(html: str) -> list[Grid]:
    return [_grid(table) for table in ET.fromstring(f"<div>{html}</div>").iter("table")]


def _grid(table: ET.Element) -> Grid:
    headings = [_text(cell) for cell in table.findall("thead/tr/th")]
    rows = table.findall("tbody/tr")
    cells = list(zip(*(list(row) for row in rows), strict=True)) or [()] * len(headings)
    assert len(cells) == len(headings)
    return Grid(
        caption=_text(table.find("caption")),
        columns={name: [_text(cell) for cell in column] for name, column in zip(headings, cells, strict=True)},
        links={
            name: [link.attrib["href"] for cell in column for link in cell.iter("a")]
            for name, column in zip(headings, cells, strict=True)
        },
        faded=[row.get("class") == "faded" for row in rows],
    )


def _text(element: ET.Element | None) -> str:
    assert element is not None
    return "".join(element.itertext()).strip()
