"""Tables for other programs: CSV and LaTeX, safe whatever the names in them are."""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "–": "--", "×": r"$\times$", "±": r"$\pm$", "\n": " ", "\r": " ",
}  # fmt: skip


def csv_text(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV in which no text is taken for a formula by a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_safe(value) for value in row] for row in (headings, *rows))
    return text.getvalue()


def _safe(value: object) -> object:
    """A text that begins as a formula does gets an apostrophe in front (OWASP, "CSV Injection"); numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def latex_escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def latex_table(headings: Sequence[str], rows: Iterable[Sequence[str]], alignment: str) -> str:
    r"""A `tabular` in the style of booktabs.

    Args:
        alignment: a letter for each column, `l` or `r`.
    """
    lines = [headings, *rows]
    first, *others = (" & ".join(map(latex_escaped, cells)) + r" \\" for cells in lines)
    head = ["% \\usepackage{booktabs}", rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", first, r"\midrule"]
    return "\n".join([*head, *others, r"\bottomrule", r"\end{tabular}", ""])
