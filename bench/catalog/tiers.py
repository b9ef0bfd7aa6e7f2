"""The parameter tiers, within which architectures are ranked."""

from bench.common.errors import unknown

TIERS = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000}
"""The most learned numbers, token embedding tables apart."""


def tier_size(budget: str) -> int:
    """Raises RequestError: there is no such tier."""
    if budget not in TIERS:
        raise unknown("budget", budget, TIERS)
    return TIERS[budget]
