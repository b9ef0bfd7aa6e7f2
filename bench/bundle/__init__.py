"""The file format of a submission: its members, their limits and how they are read, without torch or a store."""
