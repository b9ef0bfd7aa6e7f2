"""The page where bundles are submitted."""
