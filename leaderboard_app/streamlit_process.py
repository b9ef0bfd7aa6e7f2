"""Streamlit's command line in a process of its own. `server.py` starts it.

Streamlit itself exits with 1 after Ctrl-C, as after an error.
"""

import sys

from click import Abort
from streamlit.web.cli import main

from bench.common.exit_codes import exit_codes

if __name__ == "__main__":
    with exit_codes():
        try:
            main(standalone_mode=False)
        except Abort as stop:  # click's word for Ctrl-C
            print("Stopped.", file=sys.stderr)
            raise KeyboardInterrupt from stop
