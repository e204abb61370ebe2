"""Identities, fingerprints, decisions, the vault that seals secrets and the store that keeps all of it.

Nothing is imported here: a room that only needs the value types must not pay for the database library.
"""
