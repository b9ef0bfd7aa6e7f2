"""How our processes end: errors become messages and exit codes here."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_INTERRUPTED = 130


@contextmanager
def exit_codes() -> Iterator[None]:
    """Exit by what an error stands for: 2 a wrong request, 130 interrupted, 1 a reader that went away."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        _explain(error)
        sys.exit(error.exit_code)


def _explain(error: Exception) -> None:
    if hasattr(error, "show"):  # the option parser's own errors know how to show themselves
        error.show()
    else:
        print(f"bench: {error}", file=sys.stderr)
