"""Submitted bundles: packing, verifying, rescoring, training again and importing; the format is in `bench.bundle`."""
