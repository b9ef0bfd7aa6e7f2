"""Every architecture against a slow, obvious rendering of its paper's equations, one step after the other, in float64.

The paper's other claims are tested too. test_golden.py and test_golden_starts.py hold the architectures against numbers
of their authors' code.
Shapes: B batch, T time, D input, H output.
"""
