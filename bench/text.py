"""Text of strangers, made fit for a line of output."""

LONGEST = 200


def one_line(text: object, longest: int = LONGEST) -> str:
    """The text with everything that is not a printable character written as its escape, cut to a length.

    >>> print(one_line("a\\nb\\x1b[31m"))
    a\\nb\\x1b[31m
    """
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
