"""Why a bundle is refused."""

from bench.common.text import one_line


class BundleError(Exception):
    """A bundle is not what it must be. The message is one line of printable text, whatever the bundle holds."""

    exit_code = 1

    def __init__(self, message: object) -> None:
        super().__init__(one_line(message, longest=400))
