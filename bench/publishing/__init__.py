"""Published results: export to db/published, import, and the tables and figures of the documentation."""
