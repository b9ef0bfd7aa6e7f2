"""The page that takes a bundle in."""
