"""Values as text, for people and for command lines."""

import json
from collections.abc import Mapping
from typing import Any

from datamodules._spec import ACCURACIES

LONGEST = 200
NONE = "–"


def one_line(text: object, longest: int = LONGEST) -> str:
    """Return untrusted text with each unprintable character written as its escape, cut to `longest` characters.

    >>> print(one_line("a\\nb\\x1b[31m"))
    a\\nb\\x1b[31m
    """
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def plural(noun: str) -> str:
    """Return the plural of a noun that forms it by the rule.

    >>> plural("study")
    'studies'
    """
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def counted(count: int, noun: str) -> str:
    """Write how many things there are.

    >>> counted(1, "run"), counted(1200, "study")
    ('1 run', '1,200 studies')
    """
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def duration(seconds: float) -> str:
    """Write a length of time in the unit that suits it.

    >>> duration(89), duration(1500), duration(9000)
    ('89 s', '25 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def is_accuracy(metric: str) -> bool:
    """Whether more of a metric is better. It is then a share, and an error otherwise."""
    return metric in ACCURACIES


def metric_text(name: str, value: float | None) -> str:
    """Write a metric: accuracies (also macro-F1) with four decimals, errors with three digits, as they span decades."""
    if value is None:
        return NONE
    return f"{value:.4f}" if is_accuracy(name) else f"{value:.3g}"


def word(value: Any) -> str:
    """Write a setting's value as `--set` takes it."""
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def short_word(value: Any) -> str:
    """Write a setting's value for a reader: as `word` does, but with fractions to three significant digits.

    >>> short_word(0.002062515711686576), short_word(3000), short_word([0.25, 1 / 3]), short_word(None)
    ('0.00206', '3000', '[0.25, 0.333]', 'none')
    """
    if isinstance(value, list):
        return f"[{', '.join(map(short_word, value))}]"
    return f"{value:.3g}" if isinstance(value, float) else word(value)


def assignments(settings: Mapping[str, Any]) -> list[str]:
    """Write settings as `name=value` words, as `--set` takes them."""
    return [f"{name}={word(value)}" for name, value in settings.items()]
