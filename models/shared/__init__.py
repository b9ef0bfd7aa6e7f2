"""What every architecture meets: the contract, the wrappers, training settings and the Lightning module."""
