"""The results store: its schema, migrations, reading and writing; and the published results."""
