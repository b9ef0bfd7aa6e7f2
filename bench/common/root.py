"""Where the project's files are."""

from pathlib import Path

from bench.common import import_path

ROOT = Path(import_path.ROOT)
"""The folder that holds bench, models, datamodules, db and leaderboard_app."""
