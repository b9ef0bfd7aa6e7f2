"""Rows and cards that the command line and the app print; the statistics behind them are in `bench.ranking`."""
