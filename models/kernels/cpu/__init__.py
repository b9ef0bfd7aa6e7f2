"""Kernels for CPUs, compiled by numba, one in each file."""
