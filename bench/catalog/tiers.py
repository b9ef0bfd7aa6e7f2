"""The parameter tiers, within which architectures are ranked."""

from bench.common.errors import unknown

TIERS = {"3k": 3_000, "10k": 10_000, "30k": 30_000, "100k": 100_000, "1M": 1_000_000}
"""Tier → the most learned numbers of a model in it, not counting token embedding tables."""

EMBEDDING_WIDTHS = {"3k": 8, "10k": 8, "30k": 16, "100k": 64, "1M": 128}
"""Tier → the width of token embedding tables, the same for every model: the numbers in them are free of charge."""


def tier_size(budget: str) -> int:
    """Return the most learned numbers that a tier allows.

    Raises:
        RequestError: there is no such tier.
    """
    if budget not in TIERS:
        raise unknown("budget", budget, TIERS)
    return TIERS[budget]


def embedding_width(size: int, vocabulary: int) -> int:
    """Return the width of the token table of a model of at most `size` learned numbers: at most one number a token."""
    tier = next((tier for tier, most in TIERS.items() if size <= most), "1M")
    return min(EMBEDDING_WIDTHS[tier], vocabulary)
