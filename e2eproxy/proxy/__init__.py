"""Where a client's stream meets its server's."""
