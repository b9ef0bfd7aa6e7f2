"""The commands that run an architecture."""

import streamlit as st

from bench.catalog.registry import FoundModel

COMMANDS = """# one run on a small task
python -m bench run --model {name} --task digits --budget 10k

# its place in a suite: five seeds of every task
python -m bench suite --suite quick-v2 --models {name} --seeds 5 --budget 10k

# the same, tuned first with the suite's budget
python -m bench tune --suite quick-v2 --models {name} --budget 10k --save-preset
python -m bench suite --suite quick-v2 --models {name} --seeds 5 --budget 10k --preset

# how fast it is compared with others, on this machine
python -m bench speed --model {name} --against lstm,gru"""


def show(found: FoundModel) -> None:
    st.code(COMMANDS.format(name=found.name), language="shell", wrap_lines=True)
