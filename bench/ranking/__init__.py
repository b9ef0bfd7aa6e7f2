"""Statistics from a table of runs to a table of rows: pure functions that read no store."""
