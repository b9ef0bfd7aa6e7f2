"""SIGINT (Ctrl-C) and SIGTERM: they end a training, and wait while its result is recorded.

Both act in a process's main thread only, for Python calls handlers there. Elsewhere nothing here does anything.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ended_by_signals() -> Iterator[list[str]]:
    """Raise KeyboardInterrupt on SIGINT and SystemExit on SIGTERM. Yield the names of those that came.

    Libraries raise the same exceptions without any signal, so an exception alone does not say that one came.
    """
    came: list[str] = []

    def end(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number).name)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    with _handling(dict.fromkeys(STOP_SIGNALS, end)):
        yield came


@contextmanager
def held_signals() -> Iterator[None]:
    """Hold a signal until the block has ended well, and deliver it then. A second signal is delivered at once."""
    held: list[int] = []
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)
        if len(held) > 1:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    with _handling(dict.fromkeys(STOP_SIGNALS, hold)):
        yield
    for number in held[:1]:
        signal.raise_signal(number)


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Handle signals, except those that this process ignores, as it does after `nohup`."""
    before = {number: signal.getsignal(number) for number in handlers}
    if threading.current_thread() is not threading.main_thread():
        before = {}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
