"""The page of tuning studies."""
