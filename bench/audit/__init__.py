"""What a sceptic would ask of each entry: is its size sensible, did its seeds learn, did its tuning find anything."""
