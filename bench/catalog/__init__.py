"""What can be run: models, tasks, suites and tiers, and where a setting comes from; `bench.runs` defines a run."""
