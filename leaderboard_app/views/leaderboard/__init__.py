"""The first page: the board of a suite."""
