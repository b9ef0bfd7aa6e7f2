"""Contributed model files: the contract, the template and the sandbox."""
