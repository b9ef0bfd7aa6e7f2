"""The FRU's CPU kernel: the recurrence, its split into chunks and threads, and its torch operators."""
