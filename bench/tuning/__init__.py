"""Optuna studies: what is searched, trials, workers, the best settings, and tuning a newcomer."""
