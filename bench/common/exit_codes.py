"""Turn errors into messages and exit codes where a process ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_INTERRUPTED = 130


@contextmanager
def exit_codes() -> Iterator[None]:
    """Exit with the code of an error: 130 for an interrupt, 1 for a reader that went away, else its `exit_code`.

    A wrong request has the `exit_code` 2. An error without one is raised again.
    """
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
