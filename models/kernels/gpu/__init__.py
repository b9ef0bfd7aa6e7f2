"""Kernels for GPUs, written in Triton, a file each."""
