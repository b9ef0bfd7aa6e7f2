"""`python -m bench`, and the `bench` that installation adds."""

import sys

from bench.common.import_path import leave_out_working_directory
from bench.common.launchers import forget_other_launchers


def main() -> None:
    """Run the command line and exit: 0 done, 1 a run did not finish well, 2 a wrong request, 130 interrupted."""
    leave_out_working_directory()  # before anything else is imported
    forget_other_launchers()
    from bench.cli.app import app
    from bench.common.exit_codes import exit_codes
    from bench.common.terminal import replace_missing_letters

    replace_missing_letters()
    with exit_codes():
        sys.exit(app(standalone_mode=False))


if __name__ == "__main__":
    main()
