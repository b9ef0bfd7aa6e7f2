"""The page of an architecture."""
