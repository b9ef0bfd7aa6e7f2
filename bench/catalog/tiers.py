"""The parameter tiers, within which architectures are ranked."""

from bench.common.errors import unknown

TIERS = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000}
"""Tier → the most learned numbers of a model in it, not counting token embedding tables."""


def tier_size(budget: str) -> int:
    """Return the most learned numbers that a tier allows.

    Raises:
        RequestError: there is no such tier.
    """
    if budget not in TIERS:
        raise unknown("budget", budget, TIERS)
    return TIERS[budget]
