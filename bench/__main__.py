"""`python -m bench`, and the `bench` that installation adds: errors become messages and exit codes here."""

import os
import sys
from pathlib import Path

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit: 0 done, 1 a run did not finish well, 2 a wrong request, 130 interrupted."""
    # First on the path, so that a `models/` in the working directory is not imported in place of ours.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from bench.cli import app

    try:
        sys.exit(app(standalone_mode=False))
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


if __name__ == "__main__":
    main()
