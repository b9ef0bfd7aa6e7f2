"""Bundles: what a submitter sends, so that a host can check that a result is true. One idea a file.

`read_bundle` checks the structure of what a stranger sent; `write_bundle` makes one of runs that are recorded here.
"""

from bench.bundle.errors import BundleError
from bench.bundle.read import LARGEST_BUNDLE, Bundle, Claim, read_bundle

__all__ = ["LARGEST_BUNDLE", "Bundle", "BundleError", "Claim", "read_bundle"]
