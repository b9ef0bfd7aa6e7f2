"""`python -m bench`, and the `bench` that installation adds."""

import sys
from pathlib import Path

from bench.common.exit_codes import exit_codes


def main() -> None:
    """Run the command line and exit: 0 done, 1 a run did not finish well, 2 a wrong request, 130 interrupted."""
    # First on the path, so that a `models/` in the working directory is not imported in place of ours.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from bench.cli.app import app

    with exit_codes():
        sys.exit(app(standalone_mode=False))


if __name__ == "__main__":
    main()
