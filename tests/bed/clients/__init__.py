"""Unmodified clients, one module each; every one of them is pointed at 127.0.0.1 and a port by its own settings."""
