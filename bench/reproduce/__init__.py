"""Papers' protocols, run by this harness: the settings as data, the runs, and published beside measured."""
