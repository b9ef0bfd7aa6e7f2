"""The chart of a task's configurations: the score against parameters, with every seed."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.catalog.names import display_name
from bench.ranking.by_task import Row
from bench.reports.listings import model_facts
from leaderboard_app.views.leaderboard.axes import PARAMETERS, cost_axis, score_axis
from leaderboard_app.views.leaderboard.end_labels import names, placed
from leaderboard_app.views.leaderboard.filters import described
from leaderboard_app.views.leaderboard.points import Point, families
from leaderboard_app.widgets.drawing import GREY, LEADS, Spec, chart, chosen, layer, marks, of_families


def score_against_params(rows: Sequence[Row], scores: Mapping[str, float]) -> Spec:
    """Draw a mark for each row on a logarithmic axis of parameters, and a dot for each of its seeds.

    The largest network of each entry is named.

    Args:
        rows: the best first.
        scores: run_id → score.
    """
    shown = [_point(row, place) for place, row in enumerate(rows)]
    dots = [
        point | {"seed": seed, "seed_score": scores[run_id]}
        for point, row in zip(shown, rows, strict=True)
        for seed, run_id in zip(row.seeds, row.run_ids, strict=True)
    ]
    x, y = cost_axis(PARAMETERS, shown), score_axis([*shown, *({"low": each["seed_score"]} for each in dots)])
    labels, height = placed(shown, PARAMETERS.field, y)
    tooltip = [{"field": "entry"}, {"field": "seed"}, {"field": "seed_score", "format": ".1f", "title": "score"}]
    of_seeds = {"x": x, "y": y | {"field": "seed_score"}, "color": GREY, "tooltip": tooltip}
    looks: dict[str, Any] = {"size": {"value": 90}, "opacity": chosen(1, 0.75, LEADS)}
    return chart(
        [
            of_families(layer(dots, "circle", of_seeds, size=18, opacity=0.6)),
            *names(labels, families(shown), x, y),
            marks(shown, families(shown), {"x": x, "y": y} | looks),
        ],
        height,
    )


def _point(row: Row, place: int) -> Point:
    return {
        "model": row.model, "entry": display_name(row.model), "line": f"{row.model} {row.wrapper} {row.tuning}",
        "family": described(model_facts().get(row.model))[0], "tier": row.budget, "score": row.score,
        "low": row.score, "high": row.score, "params": row.params, "seeds": len(row.seeds), "failures": row.failures,
        "verification": row.verification, "leads": place == 0,
    }  # fmt: skip
