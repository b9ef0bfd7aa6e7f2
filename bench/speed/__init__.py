"""Time, latency and memory of a network, measured side by side."""
