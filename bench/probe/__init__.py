"""Probes: what a recorded run's network does beyond its score."""
