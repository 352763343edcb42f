"""Work on one machine: its disk, its devices, Redis and the queen's HTTP API; never the database."""
