"""Results in the documentation: what stands between two markers in a Markdown file follows from the database.

    <!-- results: scores quick-v1 10k -->
    …
    <!-- end -->

`bench results` writes it again, `bench results --check` says where it differs. `tables.TABLES` has the names.
"""
