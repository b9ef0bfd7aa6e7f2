"""Every architecture against a slow, obvious rendering of its paper's equations, one step after the other, in float64.

The paper's other claims are tested too. test_golden.py has vectors of the authors' code for the FRU and the SRU.
Shapes: B batch, T time, D input, H output.
"""
