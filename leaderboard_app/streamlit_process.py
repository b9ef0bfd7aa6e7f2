"""Streamlit's command line in a process of its own. `server.py` starts it.

Streamlit itself exits with 1 after Ctrl-C, as after an error.
"""

import os

from click import Abort
from streamlit.web.cli import main

from bench.common.exit_codes import EXIT_INTERRUPTED, exit_codes

if __name__ == "__main__":
    with exit_codes():
        try:
            main(standalone_mode=False)
        except Abort:  # click's word for Ctrl-C
            os._exit(EXIT_INTERRUPTED)  # at once: compiled libraries that pages have loaded would print what they leak
