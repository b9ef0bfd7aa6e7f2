"""Turn errors into messages and exit codes where a process ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.common.output_streams import lost_output, protect_streams

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_UNWRITTEN = 2


@contextmanager
def exit_codes() -> Iterator[None]:
    """Exit with the code of an error: 130 for an interrupt, else its `exit_code`.

    A wrong request has the `exit_code` 2. An error without one is raised again. A reader of our output that goes away
    changes nothing. Output that can't be written otherwise turns 0 into 2.
    """
    protect_streams()
    code: str | int | None = 0
    try:
        yield
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        _explain(error)
        code = error.exit_code
    if problem := lost_output():
        print(f"bench: stdout can't be written: {problem.strerror}. What was recorded stays.", file=sys.stderr)
        print("Free space there, or send the output elsewhere.", file=sys.stderr)
        code = code or EXIT_UNWRITTEN
    sys.exit(code)


def _explain(error: Exception) -> None:
    if hasattr(error, "show"):  # the option parser's own errors know how to show themselves
        error.show()
    else:
        print(f"bench: {error}", file=sys.stderr)
