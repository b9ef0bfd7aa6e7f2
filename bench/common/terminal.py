"""What a terminal can show."""

import io
import sys


def replace_missing_letters() -> None:
    """Print ? for each letter that stdout's encoding lacks, such as λ in Latin-1. Python would end with an error.

    stderr needs no change: Python writes such a letter there as its escape.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
