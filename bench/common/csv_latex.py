"""Tables for other programs: CSV and LaTeX, safe for any names in them."""

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
    """Return CSV in which a spreadsheet takes no text for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in (headings, *rows))
    return text.getvalue()


def harmless(text: str) -> str:
    """Return the text on one line, with an apostrophe in front if it begins like a formula (OWASP, "CSV Injection").

    Text that is a number, with no space around it, is returned as it is.
    """
    if text == text.strip() and _is_number(text):
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
    r"""Return a `tabular` in the style of booktabs, with every cell escaped.

    Args:
        alignment: a letter for each column, `l` or `r`.
    """
    lines = [headings, *rows]
    first, *others = (" & ".join(map(latex_escaped, cells)) + r" \\" for cells in lines)
    head = ["% \\usepackage{booktabs}", rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", first, r"\midrule"]
    return "\n".join([*head, *others, r"\bottomrule", r"\end{tabular}", ""])
