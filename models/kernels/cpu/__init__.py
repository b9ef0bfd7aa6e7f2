"""Kernels for CPUs, compiled by numba, a file each."""
