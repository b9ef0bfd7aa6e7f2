"""Sequence mixers: each file is an architecture; what they share is in the packages below."""
