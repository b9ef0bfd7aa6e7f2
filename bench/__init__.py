"""The harness: command line, registry, run, rank, speed."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds bench, models, datamodules, db and leaderboard_app."""

PROTOCOL = 1
"""The version of training and evaluation, which changes only when they do. Runs of different ones are not compared."""

FRU_PAPER_PROTOCOL = -1
"""Training and evaluation as the FRU authors' code has them. Protocols below zero are papers': no board shows them."""
