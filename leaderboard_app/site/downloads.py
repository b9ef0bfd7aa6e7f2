"""The results for other programs: the boards as JSON, the runs as CSV and Parquet."""

import io
import json
from collections.abc import Iterator

import pandas as pd

from bench.common.csv_latex import csv_text
from bench.reports.leaderboard_document import leaderboard_document
from bench.reports.run_document import summary
from db.store import Store
from leaderboard_app.data import snapshot
from leaderboard_app.site.pages import File

BOARDS = "leaderboard.json"


def files(store: Store) -> Iterator[File]:
    seen = snapshot(store)
    document = leaderboard_document(seen.runs, seen.standing)
    yield File(BOARDS, json.dumps(document, indent=1, allow_nan=False).encode())
    table = pd.json_normalize([summary(run, seen.standing.withdrawn.get(run.run_id)) for run in seen.runs], sep="_")
    yield File(
        "results.csv", csv_text([*table], table.astype(object).where(table.notna(), None).to_numpy().tolist()).encode()
    )
    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    yield File("results.parquet", parquet.getvalue())
