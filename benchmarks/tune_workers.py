"""Measure the speed-up from several workers, and what a trial costs more than a run.

    python benchmarks/tune_workers.py

Speed-up: 1, 2 and 4 workers run trials that sleep instead of training, on as many cores as there are. Each worker gets
the same number of trials. The clock starts with the first trial and stops when the last one has ended.

Overhead: one worker runs trials of 20 steps, and this process makes the same number of runs, in turns. A trial is timed
from its proposal to its record in the study.

Ray is up before either clock starts. Other programs on the machine make all of these figures worse.
"""

import argparse

from bench.common.errors import require
from bench.common.exit_codes import exit_codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=4, help="for each worker")
    parser.add_argument("--sleep", type=float, default=10.0, help="seconds of a sleeping trial")
    parser.add_argument("--turns", type=int, default=3, help="of overhead")
    options = parser.parse_args()
    require("ray", "cluster")
    import torch
    from _timed_trials import overhead, speed_up

    torch.set_num_threads(1)
    speed_up(options.trials, options.sleep)
    overhead(options.trials, options.turns)


if __name__ == "__main__":
    with exit_codes():
        main()
