"""What there is to run: models, tasks, suites, tiers, and where a setting comes from; not what a run is."""
