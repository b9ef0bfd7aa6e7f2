"""Every architecture against a slow, obvious rendering of its paper's equations, one step after the other, in float64.

And what its paper says of it besides. The FRU and the SRU have vectors of the authors' code (tests/test_golden.py).
Shapes: B batch, T time, D input, H output.
"""
