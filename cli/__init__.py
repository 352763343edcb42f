"""The `rbee` command: a client of the HTTP API, and the starter of the processes."""
