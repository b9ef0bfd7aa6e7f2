"""The page that compares entries side by side."""
