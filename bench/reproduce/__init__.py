"""A paper's own protocol: its settings as data, its runs, and its published numbers next to ours."""
