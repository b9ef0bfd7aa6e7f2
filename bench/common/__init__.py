"""What every package uses and what knows none of them: errors, exit codes, files, text, the protocol version."""
