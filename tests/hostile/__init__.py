"""Bundles that a host must refuse, each made from the members of a good one, and what the refusal says.

Nothing here needs torch, so that a process without it can go through the whole table.
"""

from tests.hostile.archives import ARCHIVES
from tests.hostile.arrays import ARRAYS
from tests.hostile.common import Case, Members
from tests.hostile.documents import DOCUMENTS

CASES: dict[str, Case] = ARCHIVES | DOCUMENTS | ARRAYS

__all__ = ["CASES", "Case", "Members"]
