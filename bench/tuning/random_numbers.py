"""The random numbers of a study. They follow from its name, so no two studies draw alike, and a resumed one goes on."""

import hashlib
import json

from bench.runs.request import TUNING_SEEDS

BITS = 32  # what every generator that is seeded here takes


def random_number(study: str, *use: str | int) -> int:
    """Return 32 bits that follow from a study's name and from what they are used for."""
    digest = hashlib.sha256(json.dumps([study, *use]).encode()).digest()
    return int.from_bytes(digest[: BITS // 8], "big")


def training_seed(study: str, number: int) -> int:
    """Return the seed that a trial trains with. It is one of tuning's, which no run has."""
    return TUNING_SEEDS + random_number(study, number, "training") % (2**BITS - TUNING_SEEDS)
