"""Loops over time, each for one kind of hardware, and the choice between them. No architecture is defined here."""
