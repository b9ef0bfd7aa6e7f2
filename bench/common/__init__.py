"""Errors, exit codes, files, text and the protocol version: used by every package, and importing none of them."""
