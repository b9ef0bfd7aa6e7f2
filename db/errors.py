"""The store's errors, with messages for the user."""


class StoreError(Exception):
    """The database can't be used as requested. The message names the database, the cause and what to do."""

    exit_code = 2


class ReadOnlyError(StoreError):
    """The database can be read, but not written."""


class DamagedError(StoreError):
    """A file's content is not what it should be."""
