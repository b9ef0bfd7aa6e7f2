"""Where the project's files are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds bench, models, datamodules, db and leaderboard_app."""
