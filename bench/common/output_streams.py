"""stdout and stderr whose reader may go away and whose disk may be full. Neither decides what becomes of a command."""

import io
import os
import select
import sys
from typing import Any, TextIO


class UnfailingFile(io.FileIO):
    """A file that is written as far as possible."""

    problem: OSError | None = None
    """Why something could not be written."""

    def write(self, data: Any, /) -> int:
        """Write some of the data, or drop all of them. Return how many bytes need not be written again."""
        try:
            while (count := super().write(data)) is None:  # it does not block, and its reader is slow
                select.select([], [self], [])
        except OSError as error:
            self.problem = error
            return len(data)
        return count


def protect_streams() -> None:
    """Replace this process's stdout and stderr by streams that never fail, and open those that are closed."""
    for number in range(3):  # else a file that is opened later, such as the database, becomes stdout or stderr
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _unfailing(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _unfailing(sys.stderr, 2)


def _unfailing(stream: TextIO | None, number: int) -> TextIO:
    """Return a stream that writes like one that Python has made for a file descriptor; None is one that was closed."""
    buffer = io.BufferedWriter(UnfailingFile(number, "w", closefd=False))
    if not isinstance(stream, io.TextIOWrapper):
        return io.TextIOWrapper(buffer, encoding="utf-8", errors="replace")
    at_once = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=at_once)


def lost_output() -> OSError | None:
    """Return why some of what was printed could not be written. A reader that went away wanted no more of it."""
    file = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(file, UnfailingFile):
        return None
    sys.stdout.flush()
    return None if isinstance(file.problem, ConnectionError) else file.problem
