"""What the store tells a user."""


class StoreError(Exception):
    """The database can't be used as asked. The message says which one, why, and what to do."""

    exit_code = 2


class ReadOnlyError(StoreError):
    """The database can be read, but not written."""
