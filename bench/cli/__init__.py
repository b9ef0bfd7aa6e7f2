"""The commands; torch, Lightning and the database are imported only by the commands that need them."""
