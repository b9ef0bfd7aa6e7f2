"""Bundles that a host must refuse, each made from the members of a good one, and what the refusal says.

Nothing here needs torch, so that a process without it can go through the whole table.
"""

from tests.support.hostile.archives import ARCHIVES
from tests.support.hostile.arrays import ARRAYS
from tests.support.hostile.common import Case
from tests.support.hostile.documents import DOCUMENTS

CASES: dict[str, Case] = ARCHIVES | DOCUMENTS | ARRAYS
