"""The version of training and evaluation. It changes only when they do, and not with every release."""

PROTOCOL = 1
"""Runs of different protocols are not compared."""

FRU_PAPER_PROTOCOL = -1
"""Training and evaluation as in the FRU authors' code. Protocols below zero are papers' own; no board shows them."""
