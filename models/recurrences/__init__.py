"""Layers that several architectures build on: stepwise loops, scans, state spaces, torch's own layers."""
