"""Tasks: each file without a leading underscore is a family of tasks; the others are what the families share."""
