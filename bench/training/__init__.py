"""Training and evaluating runs, one or several at a time, and recording how each ended."""
