"""The harness. Its packages import only from lower ones, in the order that tests/test_layout.py states."""
