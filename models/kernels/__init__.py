"""Loops over time for one kind of hardware, and the choice between them; no architecture."""
