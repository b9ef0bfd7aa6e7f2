"""Kernels for GPUs, written in Triton, one in each file."""
