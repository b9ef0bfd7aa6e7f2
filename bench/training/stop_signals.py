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


class _Hold:
    """A handler that keeps the first signal for later, and delivers a second one at once."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self.before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.held.append(number)
        if len(self.held) > 1:
            signal.signal(number, self.before[signal.Signals(number)])
            signal.raise_signal(number)

    def deliver(self) -> None:
        """Deliver the signal that was held, if there is one, to the handler of now."""
        held, self.held = self.held[:1], []
        for number in held:
            signal.raise_signal(number)


@contextmanager
def held_signals() -> Iterator[None]:
    """Hold a signal until the block has ended well, and deliver it then. A second signal is delivered at once."""
    hold = _Hold()
    with _handling(dict.fromkeys(STOP_SIGNALS, hold)):
        yield
    hold.deliver()


def call_ended_by_signals(act: Callable[[], object], came: list[str]) -> None:
    """Call a function in which SIGINT raises KeyboardInterrupt and SIGTERM raises SystemExit.

    A signal that is held when the call begins ends it at once.

    Args:
        came: takes the names of the signals that come. Libraries raise the same exceptions without any signal, so an
            exception alone does not say that one came.
    """

    def end(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number).name)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    holds = [handler for number in STOP_SIGNALS if isinstance(handler := signal.getsignal(number), _Hold)]
    with _handling(dict.fromkeys(STOP_SIGNALS, end)):
        for hold in holds[:1]:
            hold.deliver()
        act()


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
