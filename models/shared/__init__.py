"""What every architecture shares: the contract, the wrappers, training settings and the Lightning module."""
