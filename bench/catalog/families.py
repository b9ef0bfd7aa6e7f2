"""The kinds of architectures that the board tells apart."""

FAMILIES = (
    "nonlinear recurrence",
    "gated recurrence",
    "linear recurrence and state space",
    "linear attention and delta rule",
    "attention",
    "convolution",
    "floor",
)
"""A floor has no memory of order, or no mixer."""
