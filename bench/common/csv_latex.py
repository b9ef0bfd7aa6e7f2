"""Tables for other programs: CSV and LaTeX, safe whatever the names in them are."""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\textbraceleft{}", "}": r"\textbraceright{}",  # BibTeX counts braces, escaped ones too
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "–": "--", "×": r"$\times$", "±": r"$\pm$", "\n": " ", "\r": " ",
}  # fmt: skip


def csv_text(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV in which no text is taken for a formula by a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in (headings, *rows))
    return text.getvalue()


def harmless(text: str) -> str:
    """Text on one line, with an apostrophe in front where it begins as a formula does (OWASP, "CSV Injection")."""
    if _is_number(text):
        return text
    line = text.replace("\r", " ").replace("\n", " ")
    return f"'{line}" if text.startswith(FORMULA) else line


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
