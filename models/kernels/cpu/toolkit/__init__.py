"""Tools that the CPU kernels are written with: compilation, threads, vectors, elementary functions."""
